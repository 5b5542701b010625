//! Engines that change the stack.

pub mod pull;
pub mod rolling;
