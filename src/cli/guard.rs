//! Skeleton: `maint __guard`.

use clap::Args;

use super::{Exit, Failure};

/// Skeleton.
#[derive(Debug, Args)]
pub struct Guard {}

impl Guard {
    pub fn run(self) -> Result<Exit, Failure> {
        Err(Failure::other("not built yet"))
    }
}
