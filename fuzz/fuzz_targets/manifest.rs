//! See `disk_mounter_fuzz::manifest`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::manifest::run(bytes));
