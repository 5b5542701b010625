//! Advisory locks between processes of this host (flock(2)): gone with their holder, however it dies.

use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use super::{
    clock,
    files::{self, FileError},
};
use crate::model::failure::{Class, Diagnose};

/// What is said of a holder whose name does not stand in the lock (yet).
pub const UNNAMED: &str = "another process";

/// Why a lock was not obtained.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("the lock {name} is held by {holder}")]
    Held { name: String, holder: String },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnose for LockError {
    fn class(&self) -> Class {
        match self {
            Self::Held { .. } => Class::Locked,
            Self::File(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Held { .. } => Some("wait for it, or look at it: maint runs".into()),
            Self::File(e) => e.hint(),
        }
    }
}

/// A held lock; released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock at once, or says who has it. `holder` is what others are told, e.g. "run … of job x, pid 12".
    ///
    /// # Errors
    /// [`LockError::Held`] where somebody else has it.
    pub fn try_acquire(path: &Path, holder: &str) -> Result<Self, LockError> {
        let dir = path.parent().unwrap_or(Path::new("."));
        files::create_private_dir(dir)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|e| FileError::new("opening the lock", path, e))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let noted = file.set_len(0).and_then(|()| file.write_all(holder.as_bytes()));
                noted.map_err(|e| FileError::new("writing the lock", path, e))?;
                Ok(Self { file, path: path.to_owned() })
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                // Whoever holds it may be writing its name just now; an empty name is no reason to fail.
                let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
                if holder.is_empty() {
                    holder.push_str(UNNAMED);
                }
                let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                Err(LockError::Held { name, holder })
            }
            Err(errno) => Err(FileError::new("locking", path, errno.into()).into()),
        }
    }

    /// Takes the lock, waiting for up to `wait`.
    ///
    /// # Errors
    /// [`LockError::Held`] where it was not free in time.
    pub async fn acquire(path: &Path, holder: &str, wait: Duration) -> Result<Self, LockError> {
        let start = clock::monotonic();
        loop {
            match Self::try_acquire(path, holder) {
                Err(LockError::Held { .. }) if start.elapsed() < wait => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    /// The lock's file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A hold on a directory: many may read in it, one alone may remove it. Leaves no file, and is gone with its holder.
#[derive(Debug)]
pub struct Hold {
    _dir: File,
}

impl Hold {
    /// Keeps others from removing the directory. `None` where it is being removed just now.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    pub fn to_read(dir: &Path) -> Result<Option<Self>, FileError> {
        Self::take(dir, FlockOperation::NonBlockingLockShared)
    }

    /// Makes sure that nobody else is in the directory. `None` where somebody is.
    ///
    /// # Errors
    /// When it cannot be opened or locked.
    pub fn to_remove(dir: &Path) -> Result<Option<Self>, FileError> {
        Self::take(dir, FlockOperation::NonBlockingLockExclusive)
    }

    fn take(dir: &Path, how: FlockOperation) -> Result<Option<Self>, FileError> {
        let opened = File::open(dir).map_err(|e| FileError::new("opening the directory", dir, e))?;
        match flock(&opened, how) {
            Ok(()) => Ok(Some(Self { _dir: opened })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(FileError::new("locking", dir, errno.into())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file releases the lock; the name is emptied so that nobody reads a stale holder.
        let _ = self.file.set_len(0);
    }
}
