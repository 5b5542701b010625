//! Skeleton: writes manifest, SHA256SUMS and RESTORE.md of a verified set.

use std::collections::BTreeMap;

use super::{staging::Staging, verify::Verified};
use crate::{
    model::{
        ids::{JobName, SeriesName},
        manifest::{HostFacts, Manifest, RunFacts},
    },
    stream::StreamError,
};

/// What the manifest says beyond artifacts and evidence.
#[derive(Debug, Clone)]
pub struct SetFacts {
    /// The stack's name.
    pub stack: String,
    /// The series.
    pub series: SeriesName,
    /// The period's label.
    pub period: String,
    /// The job.
    pub job: JobName,
    /// The run.
    pub run: RunFacts,
    /// The host.
    pub host: HostFacts,
    /// Programs that took part.
    pub tools: BTreeMap<String, String>,
}

/// A verified set with its manifest, ready to be published. Only [`seal`] makes one.
#[derive(Debug)]
pub struct Sealed {
    pub(super) staging: Staging,
    pub(super) manifest: Manifest,
}

/// Skeleton. Blocking.
///
/// # Errors
/// When a file cannot be written.
pub fn seal(_verified: Verified, _facts: SetFacts) -> Result<Sealed, StreamError> {
    unimplemented!()
}
