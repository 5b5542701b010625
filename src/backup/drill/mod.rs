//! Drills: a set is restored into a throwaway server and scratch directories, and the copies are compared with what was
//! captured. A checksum proves that bytes did not change; only this proves a backup.
//!
//! [`run`] takes the artifacts of a set: for each server of it a [`place`] is made and its databases are restored
//! ([`server`]); archives are planted beside ([`trees`]). [`prove`] does so with freshly captured artifacts, and is the
//! only way to the level `drill`.

mod error;
pub mod place;
mod server;
mod trees;

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

pub use error::{Difference, DrillError};

use super::verify::Verified;
use crate::{
    adapters::clock,
    model::{
        drill::Drill,
        event::StepEvents,
        manifest::{Artifact, Source},
        stack::{self, DrillSettings, PostgresServer},
    },
};

/// How long a drill that took too long may take to leave nothing behind.
const UNWIND: Duration = Duration::from_secs(60);

/// What to restore, and where.
#[derive(Debug, Clone, Copy)]
pub struct DrillRequest<'a> {
    /// The directory of the artifacts.
    pub dir: &'a Path,
    /// The artifacts.
    pub artifacts: &'a [Artifact],
    /// Where and how.
    pub settings: &'a DrillSettings,
    /// The engine, for images.
    pub docker: &'a stack::Docker,
    /// The servers of `maint.toml`, for the images of those that run in containers.
    pub servers: &'a BTreeMap<String, PostgresServer>,
}

/// A drill under way: what it has shown so far.
struct Progress<'a> {
    request: DrillRequest<'a>,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    drill: Drill,
    differences: Vec<Difference>,
}

impl Progress<'_> {
    fn differs(&mut self, artifact: &Artifact, problems: Vec<String>) {
        let of = |problem| Difference { file: artifact.packed.file.clone(), problem };
        self.differences.extend(problems.into_iter().map(of));
    }
}

/// Restores and compares.
///
/// # Errors
/// [`DrillError::Differs`] with everything that differs; anything else means that it could not run to its end, or that
/// an artifact is damaged. Nothing of it is left.
pub async fn run(
    request: DrillRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Drill, DrillError> {
    let stop = cancel.child_token();
    let limit = request.settings.timeout;
    let mut work = std::pin::pin!(carry_out(request, &stop, events));
    tokio::select! {
        drilled = &mut work => drilled,
        () = tokio::time::sleep(limit) => {
            stop.cancel();
            // What it says now is that it was stopped; why is known here.
            let _ = tokio::time::timeout(UNWIND, &mut work).await;
            Err(DrillError::TimedOut { limit })
        }
    }
}

async fn carry_out(
    request: DrillRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Drill, DrillError> {
    let begun = clock::monotonic();
    let mut progress = Progress { request, cancel, events, drill: Drill::default(), differences: Vec::new() };
    for group in server::groups(request.artifacts) {
        server::drill(&group, &mut progress).await?;
    }
    for artifact in request.artifacts {
        if matches!(artifact.source, Source::Files { .. } | Source::Volume { .. }) {
            trees::drill(artifact, &mut progress).await?;
        }
    }
    let Progress { mut drill, differences, .. } = progress;
    if !differences.is_empty() {
        return Err(DrillError::Differs(differences));
    }
    drill.millis = millis(begun);
    drill.recovery_millis = drill.restored.iter().map(|r| r.restore_millis).sum();
    Ok(drill)
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Where a drill of freshly captured artifacts runs.
#[derive(Debug, Clone)]
pub struct Ground {
    /// Where and how.
    pub settings: DrillSettings,
    /// The engine.
    pub docker: stack::Docker,
    /// The servers of `maint.toml`.
    pub servers: BTreeMap<String, PostgresServer>,
}

/// A drill that did not prove its artifacts, with the artifacts as far as they were verified before.
#[derive(Debug)]
pub struct Unproven {
    /// What was verified without it.
    pub verified: Verified,
    /// Why.
    pub error: DrillError,
}

/// Raises freshly captured, verified artifacts to the level `drill`.
///
/// # Errors
/// [`Unproven`] gives them back with the reason.
pub async fn prove(
    verified: Verified,
    ground: &Ground,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Verified, Box<Unproven>> {
    let request = DrillRequest {
        dir: verified.staging.dir(),
        artifacts: &verified.artifacts,
        settings: &ground.settings,
        docker: &ground.docker,
        servers: &ground.servers,
    };
    match run(request, cancel, events).await {
        Ok(drill) => Ok(verified.proven(drill)),
        Err(error) => Err(Box::new(Unproven { verified, error })),
    }
}
