//! See `disk_mounter_fuzz::sha256_backends`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::sha256_backends::run(bytes));
