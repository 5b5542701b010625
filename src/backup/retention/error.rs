//! Why a series could not be pruned.

use super::super::{records::RecordError, verify::VerifyError};
use crate::{
    adapters::files::FileError,
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
            Self::Clock(e) => e.hint(),
            Self::Pruned { .. } => Some("see which there are: maint backups".into()),
            Self::Stopped => None,
        }
    }
}
