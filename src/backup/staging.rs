//! Where a run writes: `backups/.staging/<run-id>/`, private to the run, swept when its lock is free.

use std::path::{Path, PathBuf};

use crate::{
    adapters::{
        files::FileError,
        lock::{Lock, LockError},
    },
    model::ids::RunId,
};

/// A run's staging directory; removed when dropped.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    _lock: Lock,
}

impl Staging {
    /// Skeleton.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(_backup_dir: &Path, _run: RunId) -> Result<Self, LockError> {
        unimplemented!()
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// Skeleton: removes staging directories of runs that are dead; gives their names.
///
/// # Errors
/// When one cannot be removed.
pub fn sweep(_backup_dir: &Path) -> Result<Vec<String>, FileError> {
    unimplemented!()
}
