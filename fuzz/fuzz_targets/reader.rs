//! See `disk_mounter_fuzz::reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::reader::run(bytes));
