//! Why a run could not begin.

use std::path::PathBuf;

use crate::{
    adapters::{
        files::FileError, ledger::LedgerError, lock::LockError, postgres::advisory::AdvisoryError, secret::SecretError,
        signature::SignError,
    },
    capture::quiesce::QuiesceError,
    engine::{plan::PlanError, recover::RecoverError},
    model::failure::{Class, Diagnose},
    upkeep::rolling::RollError,
};

/// Why a run could not begin. What goes wrong later is the run's outcome, not an error.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("what it captures cannot be signed")]
    Sign(#[from] SignError),
    #[error(transparent)]
    Quiesce(#[from] QuiesceError),
    #[error(transparent)]
    Roll(#[from] RollError),
    #[error("the state directory {} cannot be used", path.display())]
    StateDir { path: PathBuf, source: FileError },
    #[error(transparent)]
    Recover(Box<RecoverError>),
    #[error(transparent)]
    Across(#[from] AdvisoryError),
    #[error("the lock across hosts is held by {0}")]
    Elsewhere(String),
    #[error("stopped while waiting for the lock {0}")]
    StoppedWaiting(String),
}

impl Diagnose for RunError {
    fn class(&self) -> Class {
        match self {
            Self::Plan(e) => e.class(),
            Self::Ledger(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Secret(e) => e.class(),
            Self::Sign(e) => e.class(),
            Self::Quiesce(e) => e.class(),
            Self::Roll(e) => e.class(),
            Self::Recover(e) => e.class(),
            Self::Across(e) => e.class(),
            Self::Elsewhere(_) => Class::Locked,
            Self::StateDir { .. } => Class::Failed,
            Self::StoppedWaiting(_) => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Plan(e) => e.hint(),
            Self::Ledger(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Secret(e) => e.hint(),
            Self::Sign(e) => e.hint(),
            Self::Quiesce(e) => e.hint(),
            Self::Roll(e) => e.hint(),
            Self::StateDir { path, .. } => Some(format!(
                "run it as the user that owns {}, e.g.: sudo -u maint maint …; or set state_dir",
                path.display()
            )),
            Self::Recover(e) => e.hint(),
            Self::Across(e) => e.hint(),
            Self::Elsewhere(_) => Some("wait for it; see what it does: maint runs, on that host".into()),
            Self::StoppedWaiting(_) => None,
        }
    }
}
