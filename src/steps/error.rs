//! A step's error: the error of the engine below it, with its class and hint.

use crate::{
    adapters::files::FileError,
    capture::{
        archive::ArchiveError, dump::DumpError, globals::GlobalsError, quiesce::QuiesceError, volume::VolumeError,
    },
    model::{
        failure::{Class, Diagnose},
        ids::NameError,
    },
};

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Globals(#[from] GlobalsError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("stopped")]
    Stopped,
}

impl StepError {
    /// Whether it tells of harm that somebody has to mend, and so must be heard even where the run was to end anyway.
    pub fn is_harm(&self) -> bool {
        matches!(self, Self::Volume(VolumeError::Quiesce(QuiesceError::NotBack { .. })))
    }

    fn inner(&self) -> Option<&dyn Diagnose> {
        Some(match self {
            Self::Dump(e) => e,
            Self::Globals(e) => e,
            Self::Archive(e) => e,
            Self::Volume(e) => e,
            Self::File(e) => e,
            Self::Name(_) | Self::Stopped => return None,
        })
    }
}

impl Diagnose for StepError {
    fn class(&self) -> Class {
        match self {
            Self::Name(_) => Class::Usage,
            Self::Stopped => Class::Interrupted,
            _ => self.inner().map_or(Class::Failed, Diagnose::class),
        }
    }

    fn hint(&self) -> Option<String> {
        self.inner()?.hint()
    }
}
