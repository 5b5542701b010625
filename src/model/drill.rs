//! The evidence of a drill: a set was restored into a throwaway server, and the copy compared with what was captured.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{Elapsed, count};

/// What a drill restored and compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drill {
    /// The throwaway servers.
    pub servers: Vec<DrillServer>,
    /// What was restored, in the order in which it was.
    pub restored: Vec<Restored>,
    /// How long all of it took, in milliseconds.
    pub millis: u64,
    /// How long the restoring alone took, in milliseconds: the set's stated recovery time on a host like this.
    pub recovery_millis: u64,
}

/// A throwaway server that databases were restored into.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DrillServer {
    /// The server whose copy it was, as `maint.toml` names it.
    pub server: String,
    /// Where it ran, e.g. `local`, `container postgres:15`.
    pub place: String,
    /// What kept what was restored from everything else, in words.
    pub isolation: String,
    /// Its `server_version`.
    pub version: String,
    /// How long it took to make and start it, in milliseconds.
    pub start_millis: u64,
}

/// One artifact, restored and compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The artifact's file.
    pub file: String,
    /// How long restoring it took, in milliseconds.
    pub restore_millis: u64,
    /// How long comparing it took, in milliseconds.
    pub compare_millis: u64,
    /// What was compared and is equal, in words, each with its count.
    pub checks: Vec<String>,
    /// What could not be compared, and why.
    pub not_compared: Vec<String>,
}

impl fmt::Display for Drill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "restored {}", count(self.restored.len() as u64, "artifact"))?;
        if let [first, ..] = self.servers.as_slice() {
            let version = first.version.split_whitespace().next().unwrap_or_default();
            write!(f, " into PostgreSQL {version} ({})", first.place)?;
        }
        write!(f, " in {}, all as captured", Elapsed(Duration::from_millis(self.recovery_millis)))
    }
}
