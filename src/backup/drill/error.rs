//! Why a drill failed, or could not run. The two are never the same.

use std::time::Duration;

use super::place::PlaceError;
use crate::{
    adapters::{files::FileError, postgres::PostgresError},
    backup::{load::LoadError, objects::CompareError, restore::RestoreError},
    model::{
        failure::{Class, Diagnose},
        units::Elapsed,
    },
    stream::StreamError,
};

/// How many findings an error shows; a report has them all.
const SHOWN: usize = 3;

/// One thing that a copy has otherwise than what was captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The artifact's file.
    pub file: String,
    /// What differs.
    pub problem: String,
}

/// A drill that did not prove the set.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    #[error("what was restored is not what was captured: {}", listed(.0))]
    Differs(Vec<Difference>),
    #[error(transparent)]
    Place(Box<PlaceError>),
    #[error("the drill could not run")]
    Postgres(#[source] Box<PostgresError>),
    #[error("the drill could not run: the database {database} could not be made as it was")]
    Create { database: String, source: Box<PostgresError> },
    #[error("the drill could not go on{}", said(log))]
    Load { log: String, source: Box<LoadError> },
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the drill could not go on")]
    Restore(#[source] Box<RestoreError>),
    #[error("the drill could not run: its scratch directory cannot be used")]
    File(#[from] FileError),
    #[error("the drill could not be ended: it took longer than {}", Elapsed(*limit))]
    TimedOut { limit: Duration },
    #[error("the drill could not be ended: {task} panicked")]
    Panicked { task: &'static str },
    #[error("the drill was stopped")]
    Cancelled,
}

fn listed(differences: &[Difference]) -> String {
    let shown = differences.iter().take(SHOWN).map(|d| format!("{}: {}", d.file, d.problem)).collect::<Vec<_>>();
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    shown.join("; ") + &more
}

fn said(log: &str) -> String {
    let log = log.trim_end();
    if log.is_empty() { String::new() } else { format!("; its server said: {log}") }
}

impl From<PlaceError> for DrillError {
    fn from(error: PlaceError) -> Self {
        Self::Place(Box::new(error))
    }
}

impl From<PostgresError> for DrillError {
    fn from(error: PostgresError) -> Self {
        Self::Postgres(Box::new(error))
    }
}

impl From<RestoreError> for DrillError {
    fn from(error: RestoreError) -> Self {
        Self::Restore(Box::new(error))
    }
}

impl From<CompareError> for DrillError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Postgres(e) => e.into(),
            CompareError::Stream(e) => Self::Stream(e),
        }
    }
}

impl Diagnose for DrillError {
    fn class(&self) -> Class {
        match self {
            Self::Differs(_) => Class::Verification,
            Self::Place(e) => e.class(),
            Self::Load { source, .. } if source.class() == Class::Interrupted => Class::Interrupted,
            Self::Stream(StreamError::Cancelled) | Self::Cancelled => Class::Interrupted,
            Self::Stream(e) if e.class() == Class::Verification => Class::Verification,
            Self::Restore(e) if matches!(e.class(), Class::Interrupted | Class::Verification) => e.class(),
            _ => Class::Unverifiable,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Differs(_) => {
                "the copy was made from the set alone: keep both the set and its source as they are, and look".into()
            }
            Self::Place(e) => return e.hint(),
            Self::Create { .. } => {
                "the source's locale must be there: on this host, see: locale -a; or set `image` in [drill] of \
                 maint.toml to an image that has it"
                    .into()
            }
            Self::Load { source, .. } => return source.hint(),
            Self::Postgres(e) => return e.hint(),
            Self::Stream(e) => return e.hint(),
            Self::Restore(e) => return e.hint(),
            Self::File(e) => return e.hint(),
            Self::TimedOut { .. } => "raise `timeout` in [drill] of maint.toml if this is how long it takes".into(),
            Self::Panicked { .. } => "this is a mistake in maint, please report it".into(),
            Self::Cancelled => return None,
        })
    }
}
