//! Step kinds that keep the stack in order.

pub mod image_pull;
pub mod rolling_restart;
