//! Exit codes: the same everywhere, documented in docs/exit-codes.md.

use std::process::ExitCode;

use crate::model::failure::Class;

/// How maint exits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// ok, changed, skipped, warning
    Ok = 0,
    /// failed
    Failed = 1,
    /// usage or configuration
    Usage = 2,
    /// verification failed: content differs, was tampered with or is missing
    Verification = 3,
    /// something could not be checked
    Unverifiable = 4,
    /// a lock was not obtained
    Locked = 5,
    /// SIGINT or SIGTERM
    Interrupted = 130,
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Usage => Self::Usage,
            Class::Retryable | Class::Failed => Self::Failed,
            Class::Verification => Self::Verification,
            Class::Unverifiable => Self::Unverifiable,
            Class::Locked => Self::Locked,
            Class::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
