//! The engines that change the stack to keep it well: tables, indexes, logs, what Docker has left over.
//!
//! Each one proves what it did, says what it could not do, and names whoever was in the way.

pub mod base_images;
pub mod bloat;
pub mod docker;
mod error;
mod images;
pub mod indexes;
pub mod logs;
pub mod pull;
pub mod rolling;
pub mod tables;

pub use error::UpkeepError;

use crate::model::{
    finding::{self, Finding},
    outcome::Outcome,
};

/// What an engine gives back when it ended without an error.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// What it did, in one line for people.
    pub summary: String,
    /// What it saw, and what it left undone.
    pub findings: Vec<Finding>,
    /// Whether something is not as it was.
    pub changed: bool,
}

impl Done {
    /// As good as its worst finding.
    pub fn outcome(&self) -> Outcome {
        match finding::outcome(&self.findings) {
            Outcome::Ok if self.changed => Outcome::Changed,
            other => other,
        }
    }
}
