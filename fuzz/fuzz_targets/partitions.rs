//! See `disk_mounter_fuzz::partitions`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::partitions::run(bytes));
