//! What a failure means for the run: whether to try again, how to exit, what to tell the operator.

use serde::{Deserialize, Serialize};

/// What kind of failure it is; decides retry and exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The command line or a configuration file is wrong (exit 2).
    Usage,
    /// Trying again may help: a lost connection, a lock that somebody held.
    Retryable,
    /// Trying again will not help (exit 1).
    Failed,
    /// Content differs, was tampered with or is missing (exit 3).
    Verification,
    /// Something could not be checked (exit 4).
    Unverifiable,
    /// A lock was not obtained (exit 5).
    Locked,
    /// A signal ended it (exit 130).
    Interrupted,
}

/// What every error of the project can tell beyond its message.
pub trait Diagnose: std::error::Error {
    /// What kind of failure this is.
    fn class(&self) -> Class {
        Class::Failed
    }

    /// The next thing to type or look at, where there is one. A full sentence or command, without "hint:".
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The whole chain of an error on one line: each cause once, outermost first.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
