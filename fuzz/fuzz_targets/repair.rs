//! See `disk_mounter_fuzz::repair`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::repair::run(bytes));
