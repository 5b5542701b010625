//! Why a series could not be pruned.

use super::super::{copies::CopyError, records::RecordError, upload::UploadError, verify::VerifyError};
use crate::{
    adapters::{files::FileError, store::StoreError},
    model::{
        failure::{Class, Diagnose},
        retention::ClockBehind,
    },
};

/// A series that could not be pruned, or a mark that could not be set.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Busy(#[from] UploadError),
    #[error(transparent)]
    Clock(#[from] ClockBehind),
    #[error("there is no set {set} any more: it is being pruned")]
    Pruned { set: String },
    #[error("stopped")]
    Stopped,
}

impl Diagnose for RetentionError {
    fn class(&self) -> Class {
        match self {
            Self::Record(e) => e.class(),
            Self::Verify(e) => e.class(),
            Self::File(e) => e.class(),
            // Nothing is known of what cannot be reached.
            Self::Store(e) if e.could_not_ask() => Class::Unverifiable,
            Self::Store(e) => e.class(),
            Self::Copy(e) => e.class(),
            Self::Busy(e) => e.class(),
            Self::Clock(e) => e.class(),
            Self::Pruned { .. } => Class::Failed,
            Self::Stopped => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Record(e) => e.hint(),
            Self::Verify(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Store(e) => e.hint(),
            Self::Copy(e) => e.hint(),
            Self::Busy(e) => e.hint(),
            Self::Clock(e) => e.hint(),
            Self::Pruned { .. } => Some("see which there are: maint backups".into()),
            Self::Stopped => None,
        }
    }
}
