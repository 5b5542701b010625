//! What stands in `backups/`: every set, and whatever else lies between them.

use std::path::{Path, PathBuf};

use super::{publish::PARTIAL_DIR, verify};
use crate::{
    adapters::files::{self, FileError},
    model::{failure::chain, ids::SeriesName, manifest::Manifest},
};

/// One directory that is, or should be, a set.
#[derive(Debug)]
pub struct Entry {
    /// `series/period`, e.g. `monthly/202608-2`; of one series alone, `202608-2`.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// Whether it is below `.partial`.
    pub partial: bool,
    /// Its manifest, or why there is none that can be read.
    pub manifest: Result<Manifest, String>,
    /// The SHA-256 of its manifest's bytes, where that can be read: what records and the next set name it by.
    pub manifest_sha256: Option<String>,
}

/// Every set below `backup_dir`, by name. Directories that are not sets are listed with what is wrong, never hidden.
///
/// # Errors
/// When a directory cannot be read.
pub fn list(backup_dir: &Path) -> Result<Vec<Entry>, FileError> {
    let mut entries = Vec::new();
    for (base, partial) in [(backup_dir.to_owned(), false), (backup_dir.join(PARTIAL_DIR), true)] {
        for series in directories(&base)?.into_iter().filter(|name| name.parse::<SeriesName>().is_ok()) {
            for entry in of_series(&base.join(&series))? {
                let period = &entry.name;
                let name =
                    if partial { format!("{PARTIAL_DIR}/{series}/{period}") } else { format!("{series}/{period}") };
                entries.push(Entry { name, partial, ..entry });
            }
        }
    }
    entries.sort_by(|a, b| (a.partial, &a.name).cmp(&(b.partial, &b.name)));
    Ok(entries)
}

/// Every set in the directory of a series, by name alone.
///
/// # Errors
/// When the directory cannot be read.
pub fn of_series(series_dir: &Path) -> Result<Vec<Entry>, FileError> {
    let names = directories(series_dir)?.into_iter().filter(|name| !name.starts_with('.'));
    let entry = |name: String| {
        let path = series_dir.join(&name);
        let (manifest, manifest_sha256) = match verify::open(&path) {
            Ok(sealed) => (Ok(sealed.manifest), Some(sealed.sha256)),
            Err(error) => (Err(chain(&error)), None),
        };
        Entry { name, path, partial: false, manifest, manifest_sha256 }
    };
    Ok(names.map(entry).collect())
}

fn directories(dir: &Path) -> Result<Vec<String>, FileError> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let names = files::list(dir)?.into_iter().filter(|name| dir.join(name).is_dir());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

/// The newest whole set of a series, by when it was sealed.
///
/// # Errors
/// When a directory cannot be read.
pub fn newest(backup_dir: &Path, series: &str) -> Result<Option<PathBuf>, FileError> {
    let sets = list(backup_dir)?.into_iter().filter(|e| !e.partial);
    let sealed = sets.filter_map(|e| e.manifest.ok().map(|m| (m, e.path)));
    let newest = sealed.filter(|(m, _)| m.series.as_str() == series).max_by_key(|(m, _)| m.run.sealed);
    Ok(newest.map(|(_, path)| path))
}
