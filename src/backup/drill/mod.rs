//! Drills: a set is restored into a throwaway server and scratch directories, and the copies are compared with what was
//! captured. A checksum proves that bytes did not change; only this proves a backup.
//!
//! [`run`] takes the artifacts of a set: for each server of it a [`place`] is made and its databases are restored
//! ([`server`]); archives are planted beside ([`trees`]). [`prove`] does so with freshly captured artifacts, and is the
//! only way to the level `drill`.

mod error;
mod group;
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
        failure::{Class, Diagnose},
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
    let stop = cancel.child_token();
    let aside = events.aside();
    let groups = group::groups(request.artifacts);
    let new = |events| Progress { request, cancel: &stop, events, drill: Drill::default(), differences: Vec::new() };
    let (mut servers, mut trees) = (new(events), new(if groups.is_empty() { events } else { &aside }));
    let together = place::has_room(request.settings, most_bytes(&groups, request.artifacts))?;
    let ended = if together {
        // Whoever cannot go on stops the other, which leaves nothing behind.
        let half = |ended: Result<(), DrillError>| ended.inspect_err(|_| stop.cancel());
        let (of_servers, of_trees) = tokio::join!(async { half(all_servers(&groups, &mut servers).await) }, async {
            half(all_trees(&mut trees).await)
        });
        cause(of_servers, of_trees)
    } else {
        match all_servers(&groups, &mut servers).await {
            Ok(()) => all_trees(&mut trees).await,
            failed => failed,
        }
    };
    let Progress { mut drill, mut differences, .. } = servers;
    drill.restored.extend(trees.drill.restored);
    differences.extend(trees.differences);
    match ended {
        // What was found stands, whatever else could not be looked at.
        Err(error) if differences.is_empty() || error.class() == Class::Interrupted => return Err(error),
        _ if !differences.is_empty() => return Err(DrillError::Differs(differences)),
        _ => {}
    }
    drill.millis = millis(begun);
    drill.recovery_millis = drill.restored.iter().map(|r| r.restore_millis).sum();
    Ok(drill)
}

/// What the largest server and the largest tree take together, at most.
fn most_bytes(groups: &[group::Group<'_>], artifacts: &[Artifact]) -> u64 {
    let trees = artifacts.iter().filter(|a| is_tree(a)).map(|a| a.plain_bytes).max().unwrap_or(0);
    groups.iter().map(group::Group::bytes).max().unwrap_or(0).saturating_add(trees)
}

fn is_tree(artifact: &Artifact) -> bool {
    matches!(artifact.source, Source::Files { .. } | Source::Volume { .. })
}

async fn all_servers(groups: &[group::Group<'_>], progress: &mut Progress<'_>) -> Result<(), DrillError> {
    for group in groups {
        server::drill(group, progress).await?;
    }
    Ok(())
}

async fn all_trees(progress: &mut Progress<'_>) -> Result<(), DrillError> {
    for artifact in progress.request.artifacts.iter().filter(|a| is_tree(a)) {
        trees::drill(artifact, progress).await?;
    }
    Ok(())
}

/// The error that stopped the other.
fn cause(one: Result<(), DrillError>, other: Result<(), DrillError>) -> Result<(), DrillError> {
    match (one, other) {
        (Err(stopped), Err(error)) if stopped.class() == Class::Interrupted => Err(error),
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stopped_the_other_half_is_the_cause() {
        let timed_out = || Err(DrillError::TimedOut { limit: Duration::from_secs(1) });
        let stopped = || Err(DrillError::Cancelled);
        for (one, other) in
            [(timed_out(), stopped()), (stopped(), timed_out()), (timed_out(), Ok(())), (Ok(()), timed_out())]
        {
            assert!(matches!(cause(one, other), Err(DrillError::TimedOut { .. })));
        }
        assert!(matches!(cause(stopped(), Ok(())), Err(DrillError::Cancelled)));
        assert!(cause(Ok(()), Ok(())).is_ok());
    }
}
