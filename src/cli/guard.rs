//! `maint __guard`: stands by while a capture keeps containers quiet, and brings them back when maint dies.
//!
//! It is started by maint itself and holds the reading end of a pipe. Signals to end are not for it: a terminal or
//! systemd sends them to everybody, and the containers still have to come back.

use std::{
    io::{Read, Write},
    path::PathBuf,
};

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Exit, Failure, runtime};
use crate::{
    adapters::companion::{DONE, READY},
    capture::quiesce,
};

/// Stands by while containers are quiet (started by maint itself).
#[derive(Debug, Args)]
pub struct Guard {
    /// What the capture has stopped or paused.
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
}

impl Guard {
    pub fn run(self) -> Result<Exit, Failure> {
        runtime()?.block_on(self.stand_by())
    }

    async fn stand_by(self) -> Result<Exit, Failure> {
        let _deaf = deaf().map_err(|e| Failure::other(format!("setting signals aside: {e}")))?;
        let mut said = Vec::new();
        // An error is the end as well: whoever is at the other end of the pipes is gone.
        let _ = writeln!(std::io::stdout(), "{READY}");
        let _ = std::io::stdin().read_to_end(&mut said);
        if said.trim_ascii() == DONE.as_bytes() {
            return Ok(Exit::Ok);
        }
        quiesce::after_death(&self.journal).await?;
        Ok(Exit::Ok)
    }
}

/// Handlers that do nothing, for as long as they are held.
fn deaf() -> std::io::Result<Vec<Signal>> {
    [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::hangup(), SignalKind::quit()]
        .into_iter()
        .map(signal)
        .collect()
}
