//! Where a run writes: `backups/.staging/<run-id>/`, private to the run, swept when its lock is free.

use std::path::{Path, PathBuf};

use crate::{
    adapters::{
        files::{self, FileError},
        lock::{Lock, LockError},
    },
    model::ids::RunId,
};

const STAGING_DIR: &str = ".staging";

/// A run's staging directory; removed when dropped.
#[derive(Debug)]
pub struct Staging {
    dir: PathBuf,
    lock: Lock,
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.with_extension("lock")
}

impl Staging {
    /// Makes the directory and takes its lock, which dies with this process.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(backup_dir: &Path, run: RunId) -> Result<Self, LockError> {
        let dir = backup_dir.join(STAGING_DIR).join(run.to_string());
        loop {
            let lock = Lock::try_acquire(&lock_path(&dir), &format!("run {run}"))?;
            // A sweeper may have taken the file away between its creation and its locking.
            if lock.path().exists() {
                files::create_private_dir(&dir)?;
                return Ok(Self { dir, lock });
            }
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _ = files::remove_tree(&self.dir);
        let _ = files::remove_file(self.lock.path());
    }
}

/// Calls `visit` for the staging directory of every dead run, while nobody else can take it.
fn each_dead(
    backup_dir: &Path,
    mut visit: impl FnMut(&Path, &Lock) -> Result<(), FileError>,
) -> Result<Vec<String>, FileError> {
    let parent = backup_dir.join(STAGING_DIR);
    let mut dead = Vec::new();
    if !parent.exists() {
        return Ok(dead);
    }
    for entry in files::list(&parent)? {
        let Some(run) = entry.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
        let dir = parent.join(run);
        let lock = match Lock::try_acquire(&lock_path(&dir), "a sweep") {
            Ok(lock) => lock,
            Err(LockError::Held { .. }) => continue,
            Err(LockError::File(e)) => return Err(e),
        };
        if dir.exists() {
            dead.push(run.to_owned());
        }
        visit(&dir, &lock)?;
    }
    Ok(dead)
}

/// Runs that are dead and left a staging directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn dead(backup_dir: &Path) -> Result<Vec<String>, FileError> {
    each_dead(backup_dir, |_, _| Ok(()))
}

/// Removes staging directories of runs that are dead; gives their names.
///
/// # Errors
/// When one cannot be removed.
pub fn sweep(backup_dir: &Path) -> Result<Vec<String>, FileError> {
    each_dead(backup_dir, |dir, lock| {
        files::remove_tree(dir)?;
        files::remove_file(lock.path())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::clock;

    #[test]
    fn a_living_run_is_left_alone_and_a_dead_one_swept() {
        let backups = tempfile::tempdir().unwrap();
        let living = Staging::create(backups.path(), clock::run_id()).unwrap();
        let dead = clock::run_id().to_string();
        let dead_dir = backups.path().join(STAGING_DIR).join(&dead);
        files::create_private_dir(&dead_dir).unwrap();
        files::write_atomic(&dead_dir.join("half"), b"x").unwrap();
        files::write_atomic(&lock_path(&dead_dir), b"").unwrap();

        assert_eq!(sweep(backups.path()).unwrap(), vec![dead]);
        assert!(living.dir().exists() && !dead_dir.exists());
        drop(living);
        assert_eq!(files::list(&backups.path().join(STAGING_DIR)).unwrap(), Vec::<std::ffi::OsString>::new());
    }
}
