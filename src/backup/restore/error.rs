//! Why a restore was refused or failed.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    adapters::{
        files::{self, FileError},
        plant,
    },
    capture::archive::PatternError,
    model::{
        failure::{Class, Diagnose},
        units::ByteSize,
    },
    stream::StreamError,
};

/// Why a restore was refused or failed. Nothing is left at the target then, unless [`Leftover`](Self::Leftover) says so.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the archive names `{entry}`, which is refused: {problem}")]
    RefusedPath { entry: String, problem: &'static str },
    #[error("`{entry}` would leave the target directory: it goes through a link or a mount")]
    Escape { entry: String },
    #[error("the archive holds `{entry}` twice")]
    Duplicate { entry: String },
    #[error("the hard link `{entry}` to `{target}` is refused: {problem}")]
    HardLink { entry: String, target: String, problem: &'static str },
    #[error("{} exists and is not an empty directory", path.display())]
    TargetNotEmpty { path: PathBuf, leftover: Option<PathBuf> },
    #[error("{} cannot be a target: {problem}", path.display())]
    Target { path: PathBuf, problem: &'static str },
    #[error("the file system of {} has {} free; {} are needed", path.display(), ByteSize(*free), ByteSize(*needed))]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("{} holds {found} plain bytes; its manifest says {expected}", path.display())]
    Size { path: PathBuf, found: u64, expected: u64 },
    #[error("{operation} `{entry}`")]
    Plant { operation: &'static str, entry: String, source: io::Error },
    #[error("the archive has nothing at `{path}`")]
    NotFound { path: String, nearest: Vec<String> },
    #[error("the dump has no table `{name}`")]
    NoTable { name: String, nearest: Vec<String> },
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("this kernel cannot confine a restore to its directory: it has no openat2(2)")]
    Kernel,
    #[error("{source}; what was restored so far could not be removed: {problem}")]
    Leftover { path: PathBuf, problem: io::Error, source: Box<Self> },
}

impl RestoreError {
    /// Names the operation and the entry of a failed system call, and what the error means.
    pub(super) fn plant(operation: &'static str, entry: &[u8], source: io::Error) -> Self {
        let entry = show(entry);
        if plant::leads_out(&source) {
            return Self::Escape { entry };
        }
        match source.kind() {
            io::ErrorKind::AlreadyExists => Self::Duplicate { entry },
            io::ErrorKind::NotADirectory => Self::RefusedPath { entry, problem: "what it lies in is no directory" },
            io::ErrorKind::Unsupported if operation == OPENING => Self::Kernel,
            _ => Self::Plant { operation, entry, source },
        }
    }

    /// Puts numbers to a full disk.
    pub(super) fn with_space(self, path: &Path, needed: u64) -> Self {
        let full = |e: &io::Error| matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match self {
            Self::Plant { source, .. } if full(&source) => {
                // A quota may be the limit: the file system's free bytes are then what can be told.
                let free = files::free_space(path).unwrap_or(0);
                Self::NoSpace { path: path.to_owned(), needed, free }
            }
            other => other,
        }
    }
}

/// The operation that needs openat2(2).
pub(super) const OPENING: &str = "opening the directory of";

/// A name of an archive in a message: readable, and not endless.
pub(super) fn show(entry: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(entry).chars().flat_map(char::escape_debug).take(300).collect();
    if text.len() >= 300 { format!("{text}…") } else { text }
}

impl Diagnose for RestoreError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
            Self::File(e) => e.class(),
            Self::RefusedPath { .. }
            | Self::Escape { .. }
            | Self::Duplicate { .. }
            | Self::HardLink { .. }
            | Self::Size { .. } => Class::Verification,
            Self::TargetNotEmpty { .. }
            | Self::Target { .. }
            | Self::NotFound { .. }
            | Self::NoTable { .. }
            | Self::Pattern(_) => Class::Usage,
            Self::NoSpace { .. } | Self::Plant { .. } => Class::Failed,
            Self::Kernel => Class::Unverifiable,
            Self::Leftover { source, .. } => source.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::RefusedPath { .. } | Self::Escape { .. } | Self::Duplicate { .. } | Self::HardLink { .. } => {
                Some("this is not how maint writes archives: find out who changed the set; see: maint verify".into())
            }
            Self::TargetNotEmpty { leftover: Some(leftover), .. } => Some(format!(
                "a restore that was killed left {}; look at it, remove it and try again",
                leftover.display()
            )),
            Self::TargetNotEmpty { .. } => Some("name a directory that does not exist yet, or is empty".into()),
            Self::NoSpace { path, .. } => Some(format!(
                "nothing was left behind. Free space, or restore to another file system; see: df -h {}",
                path.display()
            )),
            Self::Plant { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("restore as root, or without owners".into())
            }
            Self::NotFound { nearest, .. } | Self::NoTable { nearest, .. } if !nearest.is_empty() => {
                Some(format!("near it are: {}", nearest.join(", ")))
            }
            Self::Kernel => Some("restore on a host with Linux 5.6 or newer".into()),
            Self::Leftover { path, .. } => Some(format!("remove it yourself: {}", path.display())),
            _ => None,
        }
    }
}
