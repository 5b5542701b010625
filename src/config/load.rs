//! Skeleton: finds, reads, checks and resolves the configuration.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{ConfigError, Job, Mistake};
use crate::model::{ids::JobName, stack::Stack};

/// A configuration without mistakes.
#[derive(Debug, Clone)]
pub struct Config {
    /// The chosen `maint.toml`.
    pub path: PathBuf,
    /// What the host has.
    pub stack: Arc<Stack>,
    /// Its jobs.
    pub jobs: BTreeMap<JobName, Job>,
    /// What is valid but worth a look.
    pub warnings: Vec<Mistake>,
}

/// Loads `explicit`, or the first of `$MAINT_CONFIG`, `/etc/maint/maint.toml`, `./maint.toml`.
///
/// # Errors
/// Every mistake in it and in its jobs.
pub fn load(explicit: Option<&Path>) -> Result<Config, ConfigError> {
    let _ = explicit;
    Err(ConfigError { mistakes: Vec::new() })
}
