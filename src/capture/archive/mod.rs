//! Captures trees of files: [`tree`] from this host's directories, [`from_tar_stream`] from a foreign tar.
//!
//! Both give the same kind of artifact: a tar that GNU tar restores in full ([`crate::stream::tar`]), cut into frames
//! at entries, with a contents list that has the SHA-256 of every file. Blocking: call them where that is allowed.

mod content;
mod entry;
mod foreign;
mod levels;
mod patterns;
mod walk;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

use tokio_util::sync::CancellationToken;

pub(crate) use entry::described;
pub use foreign::from_tar_stream;
pub use patterns::{PatternError, Patterns};

use crate::{
    adapters::files::FileError,
    model::{
        event::StepEvents,
        failure::{Class, Diagnose},
        manifest::Counts,
    },
    stream::{
        StreamError,
        artifact::{ArtifactWriter, PackedArtifact},
        tar::TarError,
    },
};

/// What to capture.
#[derive(Debug, Clone)]
pub struct TreeRequest {
    /// Where the trees are, in the order in which they are stored.
    pub roots: Vec<TreeRoot>,
    /// What is left out; matched against names in the archive.
    pub exclude: Patterns,
    /// What may be torn: files that are stored, with a warning, even when they change each time they are read.
    pub may_change: Patterns,
    /// Whether directories on other file systems are stored empty.
    pub one_file_system: bool,
}

/// One tree.
#[derive(Debug, Clone)]
pub struct TreeRoot {
    /// An absolute path to a directory or regular file.
    pub path: PathBuf,
    /// Its name in the archive: relative, or `.` for a tree whose entries stand at the top.
    pub name: String,
}

/// A finished capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedTree {
    /// The artifact and its contents list.
    pub packed: PackedArtifact,
    /// Entries and files.
    pub counts: Counts,
    /// Bytes of the regular files, holes included, each hard link once.
    pub file_bytes: u64,
    /// What was noticed and did not fail the capture.
    pub warnings: Vec<String>,
}

/// Why a capture failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the step's parameters: {problem}")]
    Request { problem: String },
    #[error("{} does not exist", path.display())]
    Missing { path: PathBuf },
    #[error("{} is a symbolic link: an archive of it would hold the link alone", path.display())]
    Link { path: PathBuf },
    #[error("{} is neither a directory nor a regular file", path.display())]
    Special { path: PathBuf },
    #[error(transparent)]
    Read(FileError),
    #[error("{} changed each of the {attempts} times that it was read", path.display())]
    Changed { path: PathBuf, attempts: u32 },
    #[error("{} holds more than its size says", path.display())]
    Unsized { path: PathBuf },
    #[error("the attributes of {} cannot be stored: {problem}", path.display())]
    Attributes { path: PathBuf, problem: String },
    #[error("reading the stream from {origin}")]
    Source { origin: String, source: io::Error },
    #[error("the stream from {origin} is not a tar that can be stored")]
    Foreign { origin: String, source: TarError },
}

impl ArchiveError {
    fn read(operation: &'static str, path: &Path, error: impl Into<io::Error>) -> Self {
        Self::Read(FileError::new(operation, path, error.into()))
    }
}

impl Diagnose for ArchiveError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
            Self::Request { .. } => Class::Usage,
            Self::Source { .. } => Class::Retryable,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
            Self::Missing { path } => Some(format!("correct `paths`, or bring it back; see: ls -ld {}", path.display())),
            Self::Link { path } => Some(format!("name what it points to; see: readlink -f {}", path.display())),
            Self::Special { .. } => Some("name the directory that it is in".into()),
            Self::Read(e) if e.kind() == io::ErrorKind::PermissionDenied => Some(format!(
                "let the user that runs maint read it, or leave it out with `exclude`; see: namei -l {}",
                e.path.display()
            )),
            Self::Read(e) => e.hint(),
            Self::Changed { .. } => Some(
                "stop what writes it during the capture, leave it out with `exclude`, or list it in `may_change` if a torn \
                 copy is good enough"
                    .into(),
            ),
            Self::Unsized { .. } => Some("it looks like a file of the kernel's: leave it out with `exclude`".into()),
            Self::Attributes { .. } => Some("leave it out with `exclude`".into()),
            Self::Request { .. } => Some("see: maint check".into()),
            Self::Source { .. } | Self::Foreign { .. } => None,
        }
    }
}

/// Captures trees of this host in sorted order, following no links.
///
/// A file that grows is stored as long as it was when it was opened; one that vanishes before it is opened is left out;
/// both give a warning. One that is rewritten or shrinks is read again a few times.
///
/// # Errors
/// When a root is missing, something cannot be read, a file changes each time, the artifact cannot be written, or
/// `cancel` fires. Nothing is left of the artifact then.
pub fn tree(
    request: &TreeRequest,
    artifact: ArtifactWriter,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<CapturedTree, ArchiveError> {
    let writer = writer::TreeWriter::new(artifact, cancel, events);
    walk::Walker::new(request, writer)?.run()
}
