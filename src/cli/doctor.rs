//! Skeleton: `maint doctor`.

use clap::Args;

use super::{Exit, Failure, Global};

/// Skeleton.
#[derive(Debug, Args)]
pub struct Doctor {}

impl Doctor {
    pub fn run(self, _global: &Global) -> Result<Exit, Failure> {
        Err(Failure::other("not built yet"))
    }
}
