//! Why a lock across hosts is not to be had, or does not count any more.

use super::super::PostgresError;
use crate::model::failure::{Class, Diagnose};

/// The lock across hosts.
#[derive(Debug, thiserror::Error)]
pub enum AdvisoryError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("{endpoint} cannot hold a lock across hosts: {saw}, so it is a connection pooler")]
    Pooler { endpoint: String, saw: String },
    #[error("{endpoint} cannot hold a lock across hosts: it is a standby, whose locks nobody else sees")]
    Standby { endpoint: String },
    #[error("the table maint.slot on {endpoint} cannot be used: {problem}")]
    Table { endpoint: String, database: String, problem: String, sql: String },
    #[error("the lock across hosts was lost: {0}")]
    Lost(String),
    #[error(
        "the lock across hosts was lost, and {host} took the job over (run {run}, epoch {theirs} after {ours}): this run counts for nothing"
    )]
    Stale { host: String, run: String, theirs: i64, ours: i64 },
    #[error("{endpoint} says that the lock across hosts was not held when it was given back")]
    NotHeld { endpoint: String },
}

impl Diagnose for AdvisoryError {
    fn class(&self) -> Class {
        match self {
            Self::Postgres(e) => e.class(),
            Self::Lost(_) => Class::Retryable,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Postgres(e) => return e.hint(),
            Self::Pooler { .. } | Self::NotHeld { .. } => {
                "name a [postgres.NAME] in `across_hosts` that reaches the server itself: a pooler gives the lock to strangers"
                    .into()
            }
            Self::Standby { .. } => "name the primary in `across_hosts`".into(),
            Self::Table { database, sql, .. } => format!("as an owner of the database {database}: {sql}"),
            Self::Lost(_) => "see the server's log; the slot may be tried again on any host".into(),
            Self::Stale { host, .. } => format!("see what it did: maint runs, on {host}"),
        })
    }
}
