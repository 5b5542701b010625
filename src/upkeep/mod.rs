//! Engines that change the stack.

mod images;
pub mod pull;
pub mod rolling;
