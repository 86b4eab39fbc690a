//! Boots a throw-away virtual machine and runs the privileged tests in it.
fn main() {}
