//! How a step or a run ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The outcome of a step or run, from best to worst; a run's is its worst step's.
///
/// Only `Ok`, `Changed` and `Warning` feed "last success": a run that could not check says `Unknown`, never `Ok`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "snake_case")]
pub enum Outcome {
    /// Did what was asked; nothing outside changed.
    Ok,
    /// Did what was asked and changed something.
    Changed,
    /// Was not done, on purpose.
    Skipped(String),
    /// Was done, with something to look at.
    Warning(String),
    /// Could not be checked.
    Unknown(String),
    /// Stopped by a signal or by the death of maint.
    Interrupted,
    /// Was not done.
    Failed(String),
}

impl Outcome {
    fn rank(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Changed => 1,
            Self::Skipped(_) => 2,
            Self::Warning(_) => 3,
            Self::Unknown(_) => 4,
            Self::Interrupted => 5,
            Self::Failed(_) => 6,
        }
    }

    /// The worse of two; the first of equals, so that the earliest reason is the one shown.
    pub fn worst(self, other: Self) -> Self {
        if other.rank() > self.rank() { other } else { self }
    }

    /// Whether this counts as a success of the job.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Ok | Self::Changed | Self::Warning(_))
    }

    /// The word alone, as the ledger and the tables show it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Skipped(_) => "skipped",
            Self::Warning(_) => "warning",
            Self::Unknown(_) => "unknown",
            Self::Interrupted => "interrupted",
            Self::Failed(_) => "failed",
        }
    }

    /// Why, where there is a why.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Skipped(r) | Self::Warning(r) | Self::Unknown(r) | Self::Failed(r) => Some(r),
            Self::Ok | Self::Changed | Self::Interrupted => None,
        }
    }

    /// The inverse of [`word`](Self::word) and [`reason`](Self::reason), for the ledger.
    pub fn from_parts(word: &str, reason: Option<String>) -> Option<Self> {
        let reason = reason.unwrap_or_default();
        Some(match word {
            "ok" => Self::Ok,
            "changed" => Self::Changed,
            "skipped" => Self::Skipped(reason),
            "warning" => Self::Warning(reason),
            "unknown" => Self::Unknown(reason),
            "interrupted" => Self::Interrupted,
            "failed" => Self::Failed(reason),
            _ => return None,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason() {
            Some(reason) => write!(f, "{}: {reason}", self.word()),
            None => f.write_str(self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_its_worst_step() {
        let worst = [Outcome::Changed, Outcome::Warning("a".into()), Outcome::Warning("b".into()), Outcome::Ok]
            .into_iter()
            .fold(Outcome::Ok, Outcome::worst);
        assert_eq!(worst, Outcome::Warning("a".into()));
        assert_eq!(Outcome::Unknown("x".into()).worst(Outcome::Skipped("y".into())), Outcome::Unknown("x".into()));
    }

    #[test]
    fn unknown_is_not_a_success() {
        assert!(!Outcome::Unknown(String::new()).is_success());
        assert!(!Outcome::Skipped(String::new()).is_success());
        assert!(Outcome::Warning(String::new()).is_success());
    }
}
