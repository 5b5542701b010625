//! Skeleton: makes a sealed set visible by one rename.

use std::path::{Path, PathBuf};

use super::seal::Sealed;
use crate::{adapters::files::FileError, model::manifest::Manifest};

/// A set that can be restored from.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its directory.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// All its files together.
    pub bytes: u64,
}

/// Where a set goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completeness {
    /// All steps ran: `<series>/<period>`.
    Whole,
    /// `--only` or `--skip` was given: `.partial/<series>/<period>`, which nothing counts, uploads or audits.
    Partial,
}

/// Skeleton. Blocking.
///
/// # Errors
/// When the rename fails.
pub fn publish(_sealed: Sealed, _backup_dir: &Path, _completeness: Completeness) -> Result<Published, FileError> {
    unimplemented!()
}
