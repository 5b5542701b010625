//! `maint backups pin`, `unpin` and `ack`: what somebody says of a set, recorded beside it.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::super::{Exit, Failure, Global, output, set_arg};
use crate::backup::retention;

#[derive(Debug, Subcommand)]
pub(super) enum Mark {
    /// Keeps a set whatever retention says
    Pin(WithReason),
    /// Leaves a pinned set to retention again
    Unpin {
        /// SERIES/PERIOD, SERIES for its newest, or a directory
        set: PathBuf,
    },
    /// Says that you looked at what is unusual about a set, so that its series is pruned again
    Ack(WithReason),
}

#[derive(Debug, Args)]
pub(super) struct WithReason {
    /// SERIES/PERIOD, SERIES for its newest, or a directory
    set: PathBuf,
    /// Why, for whoever reads it later
    #[arg(long)]
    reason: String,
}

impl Mark {
    pub(super) fn run(self, global: &Global) -> Result<Exit, Failure> {
        let (trust, signer) = (super::super::trust(None, global)?, super::super::signer(global)?);
        let (trust, signer) = (trust.as_ref(), signer.as_ref());
        match self {
            Self::Pin(WithReason { set, reason: why }) => {
                let set = set_arg::find(&set, global)?;
                let record = retention::pin(&set, reason(&why)?, trust, signer)?;
                done("pinned", &set, Some(&record));
            }
            Self::Unpin { set } => {
                let set = set_arg::find(&set, global)?;
                match retention::unpin(&set, trust, signer)? {
                    Some(record) => done("unpinned", &set, Some(&record)),
                    None => done("was not pinned", &set, None),
                }
            }
            Self::Ack(WithReason { set, reason: why }) => {
                let set = set_arg::find(&set, global)?;
                let anomalies = retention::acknowledge(&set, reason(&why)?, trust, signer)?;
                for anomaly in &anomalies {
                    println!("  {anomaly}");
                }
                match anomalies.is_empty() {
                    true => done("nothing unusual stands", &set, None),
                    false => done("acknowledged", &set, None),
                }
            }
        }
        Ok(Exit::Ok)
    }
}

fn reason(given: &str) -> Result<&str, Failure> {
    match given.trim() {
        "" => Err(Failure::usage("the reason is empty", "say why: --reason \"…\"")),
        reason => Ok(reason),
    }
}

fn done(what: &str, set: &Path, record: Option<&Path>) {
    println!("{}: {what}", output::bold(&set.display().to_string()));
    if let Some(record) = record {
        println!("recorded: {}", record.display());
    }
}
