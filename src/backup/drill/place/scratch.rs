//! Where a throwaway server has its data: `<scratch_dir>/<id>/`, swept when its lock is free.

use std::path::{Path, PathBuf};

use super::PlaceError;
use crate::{
    adapters::{
        cage, clock,
        docker::{Docker, DrillLabel},
        files::{self, FileError},
        lock::{Lock, LockError},
        plant::uproot,
    },
    model::{
        failure::{Diagnose, chain},
        stack,
    },
};

/// The directory that only drills in containers have.
const SHARED: &str = "c";

/// A private directory; removed when dropped.
#[derive(Debug)]
pub struct Scratch {
    dir: PathBuf,
    lock: Lock,
    left: bool,
}

/// What a sweep removed, and what it could not.
#[derive(Debug, Default)]
pub struct Swept {
    /// The drills.
    pub removed: Vec<String>,
    /// What stays: what, and the next step.
    pub failed: Vec<(String, Option<String>)>,
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.with_extension("lock")
}

impl Scratch {
    /// Makes a directory and takes its lock, which dies with this process.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(scratch_dir: &Path) -> Result<Self, PlaceError> {
        make(scratch_dir)?;
        let dir = scratch_dir.join(clock::run_id().to_string());
        loop {
            let lock = Lock::try_acquire(&lock_path(&dir), &format!("a drill, pid {}", std::process::id()))?;
            // A sweeper may have taken the file away between its creation and its locking.
            if lock.path().exists() {
                files::create_private_dir(&dir)?;
                return Ok(Self { dir, lock, left: false });
            }
        }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Leaves the directory to a sweep, which finds by it what else is left.
    pub fn leave(mut self) {
        self.left = true;
    }

    /// By what a container of this drill is found.
    pub fn label(&self) -> DrillLabel {
        label(&self.dir)
    }
}

/// Makes the directory of all drills; one that the operator made is left as it is.
pub(super) fn make(scratch_dir: &Path) -> Result<(), FileError> {
    if scratch_dir.is_dir() {
        return Ok(());
    }
    files::create_private_dir(scratch_dir)?;
    // A server without a cage passes through it; what is below has names that cannot be guessed, and is private.
    files::set_mode(scratch_dir, 0o711)
}

fn label(dir: &Path) -> DrillLabel {
    let text = |path: Option<&Path>| path.map(|path| path.display().to_string()).unwrap_or_default();
    DrillLabel { drill: text(dir.file_name().map(Path::new)), scratch_dir: text(dir.parent()) }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now keeps its lock file, and is swept by the next run.
        if !self.left && uproot(&self.dir).is_ok() {
            let _ = files::remove_file(self.lock.path());
        }
    }
}

/// The directories of dead drills, each with its lock, which nobody else can take meanwhile.
fn abandoned(scratch_dir: &Path) -> Result<Vec<(PathBuf, Lock)>, PlaceError> {
    let mut found = Vec::new();
    if !scratch_dir.exists() {
        return Ok(found);
    }
    for entry in files::list(scratch_dir)? {
        let Some(id) = entry.to_str().and_then(|name| name.strip_suffix(".lock")) else { continue };
        let dir = scratch_dir.join(id);
        match Lock::try_acquire(&lock_path(&dir), "a sweep") {
            Ok(lock) => found.push((dir, lock)),
            Err(LockError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

fn name(dir: &Path) -> String {
    dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Drills that are dead and left a directory.
///
/// # Errors
/// When the scratch directory cannot be read.
pub fn dead(scratch_dir: &Path) -> Result<Vec<String>, PlaceError> {
    let found = abandoned(scratch_dir)?;
    Ok(found.iter().filter(|(dir, _)| dir.exists()).map(|(dir, _)| name(dir)).collect())
}

/// Removes what dead drills left: processes, containers, directories.
///
/// # Errors
/// When the scratch directory cannot be read.
pub async fn sweep(scratch_dir: &Path, docker: &stack::Docker) -> Result<Swept, PlaceError> {
    let mut swept = Swept::default();
    for (dir, lock) in abandoned(scratch_dir)? {
        let was_there = dir.exists();
        match clear(&dir, &lock, docker).await {
            Ok(()) if was_there => swept.removed.push(name(&dir)),
            Ok(()) => {}
            Err(error) => swept.failed.push((chain(&error), error.hint())),
        }
    }
    Ok(swept)
}

async fn clear(dir: &Path, lock: &Lock, docker: &stack::Docker) -> Result<(), PlaceError> {
    if dir.exists() {
        // The directory's group is its cage's user; other numbers are none of reap's business.
        let user = files::owner(dir)?.gid;
        tokio::task::spawn_blocking(move || cage::reap(user)).await.map_err(|e| join(dir, e))??;
        if dir.join(SHARED).exists() {
            let docker = Docker::connect(&docker.host).await?;
            for id in docker.drill_containers(&label(dir)).await? {
                docker.remove_drill_content(&id, &dir.join(SHARED)).await;
                docker.remove_drill(&id).await?;
            }
        }
        uproot(dir).map_err(|e| FileError::new("removing", dir, e))?;
    }
    files::remove_file(lock.path())?;
    Ok(())
}

fn join(dir: &Path, error: tokio::task::JoinError) -> FileError {
    FileError::new("sweeping", dir, std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_living_drill_is_left_alone_and_a_dead_one_swept() {
        let parent = tempfile::tempdir().unwrap();
        let nowhere = stack::Docker { host: "unix:///nonexistent".into() };
        let living = Scratch::create(parent.path()).unwrap();
        let left = parent.path().join(clock::run_id().to_string());
        files::create_private_dir(&left.join("data")).unwrap();
        files::write_atomic(&lock_path(&left), b"").unwrap();

        assert_eq!(dead(parent.path()).unwrap(), vec![name(&left)]);
        assert!(left.exists());
        let swept = sweep(parent.path(), &nowhere).await.unwrap();
        assert_eq!((swept.removed, swept.failed), (vec![name(&left)], vec![]));
        assert!(living.dir().exists() && !left.exists());
        let mode = |dir: &Path| files::owner(dir).unwrap().mode & 0o777;
        let before = mode(parent.path());
        drop(Scratch::create(parent.path()).unwrap());
        assert_eq!(
            (mode(parent.path()), mode(living.dir())),
            (before, 0o700),
            "an operator's directory is left as it is"
        );
        drop(living);
        assert_eq!(files::list(parent.path()).unwrap(), Vec::<std::ffi::OsString>::new());
    }

    #[tokio::test]
    async fn a_drill_in_a_container_waits_for_its_engine() {
        let parent = tempfile::tempdir().unwrap();
        let nowhere = stack::Docker { host: "unix:///nonexistent".into() };
        let left = parent.path().join(clock::run_id().to_string());
        files::create_private_dir(&left.join(SHARED)).unwrap();
        files::write_atomic(&lock_path(&left), b"").unwrap();
        let swept = sweep(parent.path(), &nowhere).await.unwrap();
        assert!(swept.removed.is_empty() && swept.failed[0].0.contains("cannot be reached"), "{swept:?}");
        assert!(left.exists());
    }
}
