//! Why a volume could not be captured.

use crate::{
    adapters::{docker::DockerError, lock::LockError},
    capture::{archive::ArchiveError, quiesce::QuiesceError},
    model::failure::{Class, Diagnose},
};

/// Why a volume could not be captured.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Quiesce(#[from] QuiesceError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(
        "the volume {volume} holds {what} ({marker}), and {} may be writing to it: a copy of it would not be a backup",
        writers.join(", ")
    )]
    LiveDatabase { volume: String, what: &'static str, marker: &'static str, writers: Vec<String> },
    #[error(
        "`exclude` and `may_change` need the mount point, and the volume {volume} is read through the engine: {why}"
    )]
    PatternsNeedMountPoint { volume: String, why: String },
}

impl Diagnose for VolumeError {
    fn class(&self) -> Class {
        match self {
            Self::Docker(e) => e.class(),
            Self::Quiesce(e) => e.class(),
            Self::Archive(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::LiveDatabase { .. } | Self::PatternsNeedMountPoint { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(e) => e.hint(),
            Self::Quiesce(e) => e.hint(),
            Self::Archive(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::LiveDatabase { writers, .. } => Some(format!(
                "dump the database instead (do.postgres_dump), or stop its container during the capture: stop = {writers:?}"
            )),
            Self::PatternsNeedMountPoint { .. } => {
                Some("remove the patterns, or let maint read the mount point where that is what it lacks".into())
            }
        }
    }
}
