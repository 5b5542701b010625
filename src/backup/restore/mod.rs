//! Brings what a set holds back, into a place that is new or empty, and nowhere else.
//!
//! Archives: [`tree`](tree::tree) plants a whole item, or the paths that were asked for without decoding the rest;
//! [`plan`](tree::plan) tells what it would do; [`compare_tree`](compare::compare_tree) holds the result against the
//! contents list. Blocking: call them where that is allowed.

pub mod compare;
pub mod database;
mod error;
mod expected;
mod extraction;
mod names;
mod planter;
pub mod rows;
mod select;
mod stage;
mod survey;
pub mod tree;
pub mod volume;

pub use error::RestoreError;
