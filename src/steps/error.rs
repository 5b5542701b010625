//! A step's error: the error of the engine below it, with its class and hint.

use crate::{
    adapters::{docker::DockerError, files::FileError, ledger::LedgerError, process::ProcessError, scanner::ScanError},
    capture::{
        archive::ArchiveError, dump::DumpError, globals::GlobalsError, quiesce::QuiesceError, volume::VolumeError,
    },
    model::failure::{Class, Diagnose},
    reports::ReportError,
    upkeep::{UpkeepError, pull::PullError, rolling::RollError},
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
    Pull(#[from] PullError),
    #[error(transparent)]
    Roll(#[from] RollError),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("the Docker engine could not be asked")]
    Unasked(#[source] DockerError),
    #[error(transparent)]
    Upkeep(#[from] UpkeepError),
}

impl StepError {
    /// Whether it tells of harm that somebody has to mend, and so must be heard even where the run was to end anyway.
    pub fn is_harm(&self) -> bool {
        match self {
            Self::Volume(VolumeError::Quiesce(QuiesceError::NotBack { .. })) => true,
            Self::Roll(error) => error.is_harm(),
            _ => false,
        }
    }

    fn inner(&self) -> &dyn Diagnose {
        match self {
            Self::Dump(e) => e,
            Self::Globals(e) => e,
            Self::Archive(e) => e,
            Self::Volume(e) => e,
            Self::File(e) => e,
            Self::Pull(e) => e,
            Self::Roll(e) => e,
            Self::Report(e) => e,
            Self::Ledger(e) => e,
            Self::Process(e) => e,
            Self::Scan(e) => e,
            Self::Unasked(e) => e,
            Self::Upkeep(e) => e,
        }
    }
}

impl Diagnose for StepError {
    fn class(&self) -> Class {
        match self {
            // What a check could not ask, nobody knows.
            Self::Unasked(e) if e.class() != Class::Interrupted => Class::Unverifiable,
            _ => self.inner().class(),
        }
    }

    fn hint(&self) -> Option<String> {
        self.inner().hint()
    }
}
