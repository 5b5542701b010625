//! Skeleton: verifies what was captured, before it counts, and sets, whenever asked.

use tokio_util::sync::CancellationToken;

use super::staging::Staging;
use crate::{
    model::{
        event::StepEvents,
        failure::{Class, Diagnose},
        manifest::{Artifact, Level, Verification},
    },
    stream::StreamError,
};

/// Why a verification failed or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl Diagnose for VerifyError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
        }
    }
}

/// Captured artifacts that were verified. Only [`fresh`] makes one.
#[derive(Debug)]
pub struct Verified {
    pub(super) staging: Staging,
    pub(super) artifacts: Vec<Artifact>,
    pub(super) verification: Verification,
}

/// Skeleton. Blocking.
///
/// # Errors
/// When anything differs from what was captured, or cannot be read.
pub fn fresh(
    _staging: Staging,
    _artifacts: Vec<Artifact>,
    _level: Level,
    _cancel: &CancellationToken,
    _events: &StepEvents,
) -> Result<Verified, VerifyError> {
    unimplemented!()
}
