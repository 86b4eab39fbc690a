//! See `disk_mounter_fuzz::erofs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::erofs::run(bytes));
