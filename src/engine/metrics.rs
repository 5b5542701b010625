//! The textfile for node_exporter: written anew after each run.

use std::time::Duration;

use crate::{
    adapters::{
        clock,
        files::{self, FileError},
        ledger::{Ledger, LedgerError},
        lock::{Lock, LockError},
    },
    config::Config,
    model::{
        failure::{Class, Diagnose},
        metrics,
    },
};

/// The file's name in the collector's directory. Its temporary name does not end in `.prom`, so that it is never read half.
const FILE: &str = "maint.prom";
/// Another run may be writing it just now.
const WAIT: Duration = Duration::from_secs(5);

/// The metrics could not be told.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("metrics could not be written")]
    File(#[from] FileError),
    #[error("metrics could not be put in words")]
    Encode(#[from] std::fmt::Error),
}

impl Diagnose for MetricsError {
    fn class(&self) -> Class {
        match self {
            Self::Ledger(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Encode(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::File(_) => Some("the directory must exist and be writable: [metrics] textfile_dir".into()),
            Self::Encode(_) => None,
        }
    }
}

/// The metrics of this host in Prometheus' text format.
///
/// # Errors
/// When the ledger cannot be read.
pub fn text(config: &Config) -> Result<String, MetricsError> {
    let ledger = Ledger::open(&config.stack.state_dir)?;
    let jobs = ledger.metrics(&config.roster(), clock::now())?;
    Ok(metrics::encode(&config.stack.name, env!("CARGO_PKG_VERSION"), &jobs, &ledger.deliveries_by_state()?)?)
}

/// Writes them where node_exporter finds them, if such a place is configured.
///
/// # Errors
/// When the ledger cannot be read or the file not be written; the old file is then as it was.
pub async fn write_textfile(config: &Config) -> Result<(), MetricsError> {
    let Some(dir) = &config.stack.metrics.textfile_dir else { return Ok(()) };
    let lock = config.stack.state_dir.join("locks").join("metrics.lock");
    let _lock = Lock::acquire(&lock, &format!("pid {}", std::process::id()), WAIT).await?;
    files::write_public(&dir.join(FILE), text(config)?.as_bytes())?;
    Ok(())
}
