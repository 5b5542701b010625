//! What keeps a report from being made. What could not be read for it is a finding in it instead.

use crate::model::{
    failure::{Class, Diagnose},
    ids::NameError,
};

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("the series of a report")]
    Name(#[from] NameError),
    #[error("stopped")]
    Stopped,
}

impl Diagnose for ReportError {
    fn class(&self) -> Class {
        match self {
            Self::Name(_) => Class::Usage,
            Self::Stopped => Class::Interrupted,
        }
    }
}
