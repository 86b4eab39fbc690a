//! See `disk_mounter_fuzz::superblock`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| disk_mounter_fuzz::superblock::run(bytes));
