//! The mounter: the commands of `disk-mounter` and the ladder that they climb.
