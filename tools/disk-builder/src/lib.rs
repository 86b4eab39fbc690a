//! The library behind `disk-builder`.
//!
//! | module | holds |
//! |---|---|
//! | [`engine`] | makes and checks hash trees, in parallel |

pub mod engine;
