//! Putting right what a dead update left: finished where the new containers were proven, taken back where not.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{
    How, RollError,
    journal::{self, Journal, Phase, Place, Way},
    task::Task,
};
use crate::{
    adapters::{
        compose::Compose,
        docker::{Docker, State},
        lock::LockError,
    },
    model::event::{EventSink, StepEvents},
};

/// What was put right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healed {
    /// The run that had died, and its step.
    pub owner: String,
    /// The service.
    pub service: String,
    /// What was done, in words for people.
    pub what: String,
}

/// What dead updates had left.
#[derive(Debug, Default)]
pub struct Recovery {
    /// What was put right.
    pub healed: Vec<Healed>,
    /// What could not be.
    pub failed: Vec<RollError>,
}

/// Puts right what dead updates left; those that live are not touched.
///
/// # Errors
/// When the journals cannot be listed; what fails with one of them stands in the answer.
pub async fn recover(state_dir: &Path) -> Result<Recovery, RollError> {
    let mut recovery = Recovery::default();
    for project in journal::projects(state_dir)? {
        match of_project(state_dir, &project).await {
            Ok(healed) => recovery.healed.extend(healed),
            Err(RollError::Lock(LockError::Held { .. })) => {}
            Err(error) => recovery.failed.push(error),
        }
    }
    Ok(recovery)
}

/// What [`recover`] would find, without touching anything.
///
/// # Errors
/// When a journal cannot be read.
pub fn look(state_dir: &Path) -> Result<Vec<Journal>, RollError> {
    let mut dead = Vec::new();
    for project in journal::projects(state_dir)? {
        match Place::take(state_dir, &project) {
            Ok(place) => dead.extend(place.left()?),
            Err(LockError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(dead)
}

async fn of_project(state_dir: &Path, project: &str) -> Result<Option<Healed>, RollError> {
    let place = Place::take(state_dir, project)?;
    let Some(left) = place.left()? else { return Ok(None) };
    heal(&place, left).await.map(Some)
}

/// Finishes what a dead run had begun, or takes it back.
pub(super) async fn heal(place: &Place, journal: Journal) -> Result<Healed, RollError> {
    let never = CancellationToken::new();
    let docker = Docker::connect(&journal.docker_host).await?;
    let compose = Compose::find(&journal.project, &journal.docker_host, &never).await?;
    let owner = format!("{}-{}", journal.run, journal.step);
    let (service, way) = (journal.service.clone(), journal.way);
    let events = StepEvents::new(EventSink::none(), journal.step.clone());
    let task = Task { docker: &docker, compose: &compose, place, journal, events: &events, cancel: &never };
    let how = match way {
        Way::InPlace => task.in_place().await?,
        Way::Beside => beside(&task).await?,
    };
    let what = match how {
        How::UpToDate | How::InPlace => "made anew in its place, from the new image".to_owned(),
        How::Beside { .. } => "the new containers serve, the old ones were removed".to_owned(),
        How::Kept { why, by } => format!("{by} ({why})"),
    };
    Ok(Healed { owner, service, what })
}

async fn beside(task: &Task<'_>) -> Result<How, RollError> {
    let new = task.new_ones().await?;
    let old = task.old_ones().await?;
    let all_old_run = old.len() == task.journal.old.len() && old.iter().all(|old| old.state == State::Running);
    let enough = new.len() >= task.journal.old.len();
    // Proven once is not proven for ever: the host may have been off since.
    let mut why = RollError::Died;
    if enough && (task.journal.phase == Phase::Proven || !all_old_run) {
        match task.fit(&new, task.journal.gate).await {
            Ok(()) => return task.go_on(&new).await,
            Err(unfit) => why = unfit,
        }
    }
    if old.len() == task.journal.old.len() { task.take_back(why).await } else { task.in_place().await }
}
