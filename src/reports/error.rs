//! What keeps a report from being made or read. What could not be read for it is a finding in it instead.

use std::path::PathBuf;

use crate::{
    adapters::files::FileError,
    model::{
        failure::{Class, Diagnose},
        ids::NameError,
    },
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the series of a report")]
    Name(#[from] NameError),
    #[error("stopped")]
    Stopped,
    #[error("there is no report {0}")]
    Missing(String),
    #[error("{} is no report", path.display())]
    Unreadable { path: PathBuf, source: serde_json::Error },
    #[error(transparent)]
    File(#[from] FileError),
}

impl Diagnose for ReportError {
    fn class(&self) -> Class {
        match self {
            Self::Name(_) | Self::Missing(_) => Class::Usage,
            Self::Stopped => Class::Interrupted,
            Self::Unreadable { .. } => Class::Unverifiable,
            Self::File(error) => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Missing(_) => Some("see which there are: maint reports".into()),
            Self::Unreadable { .. } => Some("remove it with its page, and make it again: maint run JOB".into()),
            Self::File(error) => error.hint(),
            Self::Name(_) | Self::Stopped => None,
        }
    }
}
