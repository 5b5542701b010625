//! The only place that creates, renames and removes files.
//!
//! Everything is written under a temporary name, synced, renamed, and its directory synced; files are 0600 in 0700
//! directories whatever the umask. A file that was not finished is gone when its writer is dropped.

#![expect(clippy::disallowed_methods, reason = "this is the files adapter")]

mod ask;

use std::{
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use rustix::fs::{Advice, RenameFlags, renameat_with};

pub use ask::{
    Aged, Fullness, Owner, aged, file_system, free_space, fullness, is_regular, may_write, mounts, owner,
    regular_length,
};

use super::clock;
use crate::model::failure::{Class, Diagnose};

/// A file operation that failed: which, on what.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}", path.display())]
pub struct FileError {
    operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    #[source]
    source: io::Error,
}

impl FileError {
    /// Names the operation ("creating", "reading") and the path.
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// What kind of I/O error it was.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

impl Diagnose for FileError {
    fn class(&self) -> Class {
        Class::Failed
    }

    fn hint(&self) -> Option<String> {
        let path = self.path.display();
        match self.source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Some(format!("the disk is full; nothing was published. Free space, see: df -h {path}"))
            }
            io::ErrorKind::PermissionDenied => {
                Some(format!("let the user that runs maint do this; see: namei -l {path}"))
            }
            _ => None,
        }
    }
}

fn at<T>(operation: &'static str, path: &Path, result: io::Result<T>) -> Result<T, FileError> {
    result.map_err(|source| FileError::new(operation, path, source))
}

/// Creates a directory and its parents, each new one 0700.
///
/// # Errors
/// When one of them cannot be created.
pub fn create_private_dir(path: &Path) -> Result<(), FileError> {
    at("creating the directory", path, DirBuilder::new().recursive(true).mode(0o700).create(path))
}

/// Creates a directory that everybody may read, with its parents; those that are there stay as they are.
///
/// # Errors
/// When one of them cannot be created.
pub fn create_public_dir(path: &Path) -> Result<(), FileError> {
    at("creating the directory", path, DirBuilder::new().recursive(true).mode(0o755).create(path))
}

/// Sets the permission bits of a directory that others must pass or use.
///
/// # Errors
/// When they cannot be set.
pub fn set_mode(path: &Path, mode: u32) -> Result<(), FileError> {
    at("setting the mode of", path, fs::set_permissions(path, Permissions::from_mode(mode)))
}

/// Gives a file or directory to a user and group (needs root).
///
/// # Errors
/// When it cannot be given.
pub fn give(path: &Path, uid: u32, gid: u32) -> Result<(), FileError> {
    at("changing the owner of", path, std::os::unix::fs::chown(path, Some(uid), Some(gid)))
}

/// Whether files can be made in a directory, found out by making one.
///
/// # Errors
/// When they cannot.
pub fn check_writable(dir: &Path) -> Result<(), FileError> {
    // Several runs of one process may ask at the same time.
    AtomicFile::create(dir, &format!("probe-{}", clock::run_id())).map(drop)
}

/// Makes an empty 0600 file unless it is there: for programs that open their files by themselves.
///
/// # Errors
/// When it cannot be made.
pub fn touch_private(path: &Path) -> Result<(), FileError> {
    let mut options = OpenOptions::new();
    at("creating", path, options.append(true).create(true).mode(0o600).open(path)).map(drop)
}

/// Opens a log for appending, 0600.
///
/// # Errors
/// When it cannot be opened.
pub fn create_log(path: &Path) -> Result<File, FileError> {
    at("opening the log", path, OpenOptions::new().append(true).create(true).mode(0o600).open(path))
}

/// Writes a small file under a name that must not exist yet. `Ok(false)`: it exists, nothing was done.
///
/// # Errors
/// When it cannot be written.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = format!("{}.{}", path.file_name().unwrap_or_default().to_string_lossy(), clock::run_id());
    let atomic = AtomicFile::create(dir, &name)?;
    at("writing", path, atomic.file().write_all(bytes))?;
    at("syncing", path, atomic.file().sync_all())?;
    rename_new(&atomic.temporary, path)
}

/// A file under a temporary name; [`finish`](Self::finish) makes it real, dropping it removes it.
#[derive(Debug)]
pub struct AtomicFile {
    file: Option<File>,
    temporary: PathBuf,
    target: PathBuf,
}

impl AtomicFile {
    /// Creates `.{name}.tmp` in `dir`, 0600.
    ///
    /// # Errors
    /// When it cannot be created; also when another writer has it open under that name.
    pub fn create(dir: &Path, name: &str) -> Result<Self, FileError> {
        let temporary = dir.join(format!(".{name}.tmp"));
        let file = at(
            "creating",
            &temporary,
            OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary),
        )?;
        let this = Self { file: Some(file), temporary, target: dir.join(name) };
        at("setting the mode of", &this.temporary, this.file().set_permissions(Permissions::from_mode(0o600)))?;
        Ok(this)
    }

    /// The open file.
    ///
    /// # Panics
    /// Never: the file is taken only by `finish`, which consumes the value.
    pub fn file(&self) -> &File {
        self.file.as_ref().expect("taken only by finish")
    }

    /// The name it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Syncs, renames and syncs the directory; an existing file of that name is replaced.
    ///
    /// # Errors
    /// When any of it fails; the temporary file is gone then.
    pub fn finish(mut self) -> Result<File, FileError> {
        at("syncing", &self.temporary, self.file().sync_all())?;
        at("renaming", &self.temporary, fs::rename(&self.temporary, &self.target))?;
        let file = self.file.take().expect("taken only here");
        sync_dir(self.target.parent().unwrap_or(Path::new(".")))?;
        Ok(file)
    }

    /// As [`finish`](Self::finish), under a name that must not exist yet. `Ok(false)`: it exists, nothing was done.
    ///
    /// # Errors
    /// When any of it fails; the temporary file is gone then.
    pub fn finish_new(mut self) -> Result<bool, FileError> {
        at("syncing", &self.temporary, self.file().sync_all())?;
        let done = rename_new(&self.temporary, &self.target)?;
        if done {
            self.file = None;
        }
        Ok(done)
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.is_some() {
            // Nothing better can be done with a failure here; the staging sweep removes what is left.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a small file whole or not at all.
///
/// # Errors
/// When it cannot be written; an existing file is then as it was.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let atomic = AtomicFile::create(dir, &name)?;
    at("writing", path, atomic.file().write_all(bytes))?;
    atomic.finish().map(drop)
}

/// As [`write_alone`], for a file that others may read: 0644 before it has its name.
///
/// # Errors
/// When it cannot be written; an existing file is then as it was.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    remove_file(&path.with_file_name(format!(".{name}.tmp")))?;
    let atomic = AtomicFile::create(dir, &name)?;
    let shown = fs::Permissions::from_mode(0o644);
    at("opening to others", path, atomic.file().set_permissions(shown))?;
    at("writing", path, atomic.file().write_all(bytes))?;
    atomic.finish().map(drop)
}

/// As [`write_atomic`], for a path that nobody else writes now, e.g. below a lock: what a killed writer left in the way goes.
///
/// # Errors
/// When it cannot be written; an existing file is then as it was.
pub fn write_alone(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    remove_file(&path.with_file_name(format!(".{name}.tmp")))?;
    write_atomic(path, bytes)
}

/// Makes an entry's creation, rename or removal durable.
///
/// # Errors
/// When the directory cannot be opened or synced.
pub fn sync_dir(dir: &Path) -> Result<(), FileError> {
    at("syncing the directory", dir, File::open(dir).and_then(|d| d.sync_all()))
}

/// Renames a directory to a name that must not exist yet. `Ok(false)`: it exists, nothing was done.
///
/// # Errors
/// When the rename fails for another reason, e.g. across file systems.
pub fn rename_new(from: &Path, to: &Path) -> Result<bool, FileError> {
    match renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => {
            sync_dir(to.parent().unwrap_or(Path::new(".")))?;
            Ok(true)
        }
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(errno) => Err(FileError::new("publishing by rename to", to, errno.into())),
    }
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_file(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::new("removing", path, e)),
        _ => Ok(()),
    }
}

/// Removes a directory with everything below it, without following links; one that is not there is fine.
///
/// # Errors
/// When something below it cannot be removed.
pub fn remove_tree(path: &Path) -> Result<(), FileError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(FileError::new("removing", path, e)),
        _ => Ok(()),
    }
}

/// Removes a directory where it is empty; `Ok(false)`: it is not, or is not there.
///
/// # Errors
/// When it is empty and cannot be removed.
pub fn remove_empty_dir(path: &Path) -> Result<bool, FileError> {
    match fs::remove_dir(path) {
        Err(e) if matches!(e.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::NotFound) => Ok(false),
        removed => at("removing", path, removed).map(|()| true),
    }
}

/// Opens a file for reading, without following a link in its last component.
///
/// # Errors
/// When it cannot be opened, or is a link.
pub fn open_read(path: &Path) -> Result<File, FileError> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0);
    at("opening", path, OpenOptions::new().read(true).custom_flags(flags).open(path))
}

/// Reads a small file whole; one longer than `limit` bytes is refused.
///
/// # Errors
/// When it cannot be read or is too long.
pub fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let mut bytes = Vec::new();
    let mut file = io::Read::take(open_read(path)?, limit + 1);
    at("reading", path, io::Read::read_to_end(&mut file, &mut bytes))?;
    if bytes.len() as u64 > limit {
        let long = io::Error::other(format!("longer than {limit} bytes"));
        return Err(FileError::new("reading", path, long));
    }
    Ok(bytes)
}

/// Reads a small file whole, following links, as configuration often is one.
///
/// # Errors
/// When it cannot be read or is longer than `limit` bytes.
pub fn read_config(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = at("opening", path, File::open(path))?;
    let mut bytes = Vec::new();
    at("reading", path, io::Read::read_to_end(&mut io::Read::take(file, limit + 1), &mut bytes))?;
    if bytes.len() as u64 > limit {
        return Err(FileError::new("reading", path, io::Error::other(format!("longer than {limit} bytes"))));
    }
    Ok(bytes)
}

/// The names in a directory, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn list(dir: &Path) -> Result<Vec<OsString>, FileError> {
    let entries = at("reading the directory", dir, fs::read_dir(dir))?;
    let mut names = entries.map(|e| e.map(|e| e.file_name())).collect::<io::Result<Vec<_>>>();
    if let Ok(names) = &mut names {
        names.sort();
    }
    at("reading the directory", dir, names)
}

/// Forgets a synced file's cached pages, so that the next read comes from the disk (posix_fadvise(2)).
pub fn drop_cache(file: impl AsFd) {
    // Advice: where it is not taken, the read-back is weaker but not wrong.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::DontNeed);
}

#[cfg(test)]
mod tests;
