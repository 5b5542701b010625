//! Makes a sealed set visible by one rename.

use std::path::{Path, PathBuf};

use super::{records, seal::Sealed};
use crate::{
    adapters::files::{self, FileError},
    model::manifest::Manifest,
};

/// The directory of partial sets below `backups/`.
pub const PARTIAL_DIR: &str = ".partial";

/// A set that can be restored from.
#[derive(Debug, Clone)]
pub struct Published {
    /// Its directory.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// The manifest's SHA-256: the new head of its series' chain.
    pub manifest_sha256: String,
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

impl Completeness {
    /// The directory of a series.
    pub fn series_dir(self, backup_dir: &Path, series: &str) -> PathBuf {
        match self {
            Self::Whole => backup_dir.join(series),
            Self::Partial => backup_dir.join(PARTIAL_DIR).join(series),
        }
    }
}

/// Gives a sealed set a place of its own outside of every series; nothing counts it. Blocking.
///
/// # Errors
/// When the rename fails, or something has that name; nothing is visible then.
pub fn beside(sealed: Sealed, dir: &Path, name: &str) -> Result<Published, FileError> {
    let Sealed { staging, manifest, manifest_sha256, bytes } = sealed;
    files::create_private_dir(dir)?;
    files::sync_dir(staging.dir())?;
    let path = dir.join(name);
    match files::rename_new(staging.dir(), &path)? {
        true => Ok(Published { path, manifest, manifest_sha256, bytes }),
        false => Err(FileError::new("publishing by rename to", &path, std::io::ErrorKind::AlreadyExists.into())),
    }
}

/// Gives the set its name: the period, or `-2`, `-3` … behind it where that is taken. Nothing is ever overwritten.
/// Blocking.
///
/// # Errors
/// When the rename fails; nothing is visible then.
pub fn publish(sealed: Sealed, backup_dir: &Path, completeness: Completeness) -> Result<Published, FileError> {
    let Sealed { staging, manifest, manifest_sha256, bytes } = sealed;
    let parent = completeness.series_dir(backup_dir, manifest.series.as_str());
    files::create_private_dir(&parent)?;
    files::sync_dir(staging.dir())?;
    for number in 1_u64.. {
        let name = if number == 1 { manifest.period.clone() } else { format!("{}-{number}", manifest.period) };
        // The name of a set that was pruned is its own for ever: its records lie under it, and a store may still have it.
        if records::dir(&parent, &name).exists() {
            continue;
        }
        let path = parent.join(name);
        if files::rename_new(staging.dir(), &path)? {
            return Ok(Published { path, manifest, manifest_sha256, bytes });
        }
    }
    unreachable!("numbers do not end")
}
