//! How a program that is linked statically finds the addresses of servers.
//!
//! glibc looks into `/etc/nsswitch.conf` for who knows them, and loads a library for each of those:
//! of the version that the program was linked with, and none other works. Files and the name servers
//! of `/etc/resolv.conf` are asked by code that is in the program itself.

use std::{ffi::c_char, ffi::c_int, sync::Once};

unsafe extern "C" {
    /// Of `nss.h`.
    fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
}

/// From now on, has addresses be found without any library.
pub(crate) fn ask_without_libraries() {
    static ASKED: Once = Once::new();
    ASKED.call_once(|| {
        // SAFETY: both strings end with a NUL and live for ever; glibc locks what it changes. Where
        // it fails all stays as it was, and a name that is not found is an error later.
        unsafe {
            __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
        }
    });
}
