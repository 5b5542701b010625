//! Which set a command means: `SERIES/PERIOD`, `SERIES` for its newest, or a directory.

use std::path::{Path, PathBuf};

use super::{Failure, Global};
use crate::{adapters::lock::Hold, backup::sets, config, model::manifest::MANIFEST_FILE};

/// A directory with a manifest is meant as it is; anything else is looked up in the configured backup directory. Until this
/// process ends, no pruning takes the set away: a restore may go on for hours.
pub(super) fn find(given: &Path, global: &Global) -> Result<PathBuf, Failure> {
    let found = look_up(given, global)?;
    match Hold::to_read(&found) {
        Ok(Some(hold)) => std::mem::forget(hold),
        Ok(None) => return Err(Failure::usage(format!("{} is being pruned", found.display()), "see: maint backups")),
        // Where nothing can be locked nothing is pruned either, e.g. on a read-only medium; and what is no directory at all
        // is told by whoever reads it.
        Err(_) => {}
    }
    Ok(found)
}

fn look_up(given: &Path, global: &Global) -> Result<PathBuf, Failure> {
    if given.join(MANIFEST_FILE).exists() || given.is_absolute() {
        return Ok(given.to_owned());
    }
    let config = match config::load(global.config.as_deref()) {
        Ok(config) => config,
        // Without a configuration a directory can be meant all the same, and verify says what is wrong with it.
        Err(_) if given.is_dir() => return Ok(given.to_owned()),
        Err(error) => return Err(error.into()),
    };
    let backups = &config.stack.backup_dir;
    let inside = backups.join(given);
    if inside.join(MANIFEST_FILE).exists() {
        return Ok(inside);
    }
    let name = given.to_string_lossy();
    if let Some(newest) = sets::newest(backups, &name)? {
        return Ok(newest);
    }
    if inside.is_dir() || given.is_dir() {
        return Ok(if inside.is_dir() { inside } else { given.to_owned() });
    }
    Err(Failure::usage(
        format!("there is no set `{name}` in {}", backups.display()),
        "see which there are: maint backups",
    ))
}
