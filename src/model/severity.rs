//! How bad a failure is, in the runbook's levels ("Severity Levels").

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// From worst to least: `P0` is less than `P3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
pub enum Severity {
    /// Critical: the system is down; an answer within 15 minutes.
    P0,
    /// High: degraded; within an hour.
    P1,
    /// Medium: minor impact; within four hours.
    #[default]
    P2,
    /// Low: users notice nothing; within a day.
    P3,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
        })
    }
}
