//! Skeleton: `maint recover`.

use clap::Args;

use super::{Exit, Failure, Global};

/// Skeleton.
#[derive(Debug, Args)]
pub struct Recover {}

impl Recover {
    pub fn run(self, _global: &Global) -> Result<Exit, Failure> {
        Err(Failure::other("not built yet"))
    }
}
