//! Makes disks.
