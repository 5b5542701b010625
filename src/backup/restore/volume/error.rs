//! Why a volume could not be filled through the engine.

use std::io;

use crate::{
    adapters::{docker::DockerError, lock::LockError},
    backup::{restore::RestoreError, verify::VerifyError},
    model::failure::{Class, Diagnose},
    stream::tar::TarError,
};

/// A volume that was not filled, or not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum FillError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    Restore(#[from] RestoreError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("the volume {volume} is not empty: it holds `{found}`")]
    NotEmpty { volume: String, found: String },
    #[error("reading the volume {volume} back")]
    Read { volume: String, source: io::Error },
    #[error("what the engine says of the volume {volume} is no tar")]
    Tar { volume: String, source: TarError },
    #[error("the volume {volume} is not what was captured: {}", listed(differences))]
    Differs { volume: String, differences: Vec<String> },
    #[error("a thread that worked for the volume {volume} ended early")]
    Thread { volume: String },
    #[error("{error}; what was unpacked so far stays in the volume {volume}")]
    Left { volume: String, error: Box<Self> },
}

fn listed(differences: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ") + &more
}

impl Diagnose for FillError {
    fn class(&self) -> Class {
        match self {
            Self::Docker(e) => match e.class() {
                Class::Retryable => Class::Failed,
                class => class,
            },
            Self::Restore(e) => e.class(),
            Self::Verify(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::NotEmpty { .. } => Class::Usage,
            Self::Read { .. } | Self::Tar { .. } | Self::Thread { .. } => Class::Failed,
            Self::Differs { .. } => Class::Verification,
            Self::Left { error, .. } => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(e) => e.hint(),
            Self::Restore(e) => e.hint(),
            Self::Verify(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::NotEmpty { .. } => Some("name a volume that does not exist yet, or is empty".into()),
            Self::Left { volume, .. } => {
                Some(format!("empty it, or make it anew: docker volume rm {volume}; then run the command again"))
            }
            _ => None,
        }
    }
}
