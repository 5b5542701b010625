//! Plain data and pure rules: no I/O, no clock, no async.

pub mod anomaly;
pub mod audit;
pub mod chain;
pub mod contents;
pub mod copy;
pub mod coverage;
pub mod drill;
pub mod event;
pub mod expression;
pub mod failure;
pub mod ids;
pub mod inventory;
pub mod manifest;
pub mod outcome;
pub mod parts;
pub mod period;
pub mod record;
pub mod retention;
pub mod sample;
pub mod schedule;
pub mod secret;
pub mod signature;
pub mod slots;
pub mod stack;
pub mod store;
pub mod units;
