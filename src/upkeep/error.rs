//! What ends an engine before its work is done. What it merely leaves undone is a finding.

use std::path::PathBuf;

use crate::{
    adapters::{docker::DockerError, files::FileError, lock::LockError, postgres::PostgresError},
    model::failure::{Class, Diagnose},
};

/// Why an engine ended before its work was done.
#[derive(Debug, thiserror::Error)]
pub enum UpkeepError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("there is no [postgres.{server}] in maint.toml")]
    UnknownServer { server: String },
    #[error("the pattern `{pattern}`: {problem}")]
    Pattern { pattern: String, problem: String },
    #[error("the logs below {}: {problem}", dir.display())]
    Logs { dir: PathBuf, problem: String },
    #[error("reading the logs below {}", dir.display())]
    Reading { dir: PathBuf, source: std::io::Error },
    #[error("stopped; what was under way was ended")]
    Interrupted,
}

impl Diagnose for UpkeepError {
    fn class(&self) -> Class {
        match self {
            Self::Postgres(e) => e.class(),
            Self::Docker(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::UnknownServer { .. } | Self::Pattern { .. } => Class::Usage,
            Self::Logs { .. } | Self::Reading { .. } => Class::Failed,
            Self::Interrupted => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Postgres(e) => e.hint(),
            Self::Docker(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::UnknownServer { .. } => Some("add the server to maint.toml, or correct `server` of the step".into()),
            Self::Pattern { .. } => Some("see `paths` of log_rotate in docs/reference.md".into()),
            Self::Logs { .. } | Self::Reading { .. } | Self::Interrupted => None,
        }
    }
}
