//! System calls, and every `unsafe` that is not a hash kernel.
