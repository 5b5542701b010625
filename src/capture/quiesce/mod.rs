//! Containers that are stopped or paused while they are captured, and back in every case.
//!
//! Before the first one is touched, a journal with their names is on disk and a guard is ready: a child in its own
//! process group that holds the reading end of a pipe. When maint ends without a word (SIGKILL, panic, a dropped
//! future), the pipe says so, and the guard brings back what the journal names. When the guard dies too, `maint
//! recover` and the next capture do.

mod back;
mod down;
mod journal;
mod order;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

pub use back::{Recovered, Recovery, after_death, look, recover};
pub use down::{Down, Still};
pub use journal::{Entry, How, Journal, Ticket, directory};
use tokio_util::sync::CancellationToken;

use crate::{
    adapters::{
        clock,
        companion::Companion,
        docker::{Container, Docker, DockerError, State},
        files::{self, FileError},
        lock::LockError,
        process::{Invocation, ProcessError},
    },
    model::{
        failure::{Class, Diagnose},
        ids::{RunId, StepId},
    },
};

/// Why containers could not be stopped, paused or brought back.
#[derive(Debug, thiserror::Error)]
pub enum QuiesceError {
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error("no container has the label `{label}`")]
    NoLabel { label: String },
    #[error("the container `{name}` was started with --rm: the engine would remove it when it is stopped")]
    WouldBeRemoved { name: String },
    #[error("the container `{name}` is asked to be stopped and to be paused")]
    StopAndPause { name: String },
    #[error("the container `{name}` is kept quiet by another capture, {ticket}")]
    HeldByAnother { name: String, ticket: String },
    #[error("starting the guard that brings containers back; nothing was stopped")]
    Guard { source: ProcessError },
    #[error("{} is not a journal of a capture", path.display())]
    Journal { path: PathBuf, source: serde_json::Error },
    #[error("{} has version {version}, which this maint does not know", path.display())]
    NewerJournal { path: PathBuf, version: u32 },
    #[error("{} is not the name of a journal", path.display())]
    NoJournal { path: PathBuf },
    #[error("the container `{name}` ended again right after it was started")]
    DidNotStay { name: String },
    #[error("containers that the capture stopped are NOT running again: {down}{}", after_what(after))]
    NotBack {
        down: Down,
        #[source]
        first: Box<QuiesceError>,
        /// What had gone wrong before.
        after: Option<String>,
    },
    #[error("stopped")]
    Cancelled,
}

fn after_what(after: &Option<String>) -> String {
    after.as_ref().map(|what| format!(" (after: {what})")).unwrap_or_default()
}

impl Diagnose for QuiesceError {
    fn class(&self) -> Class {
        match self {
            Self::Docker(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::HeldByAnother { .. } => Class::Locked,
            Self::Cancelled => Class::Interrupted,
            Self::NoJournal { .. } | Self::StopAndPause { .. } => Class::Usage,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Docker(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::HeldByAnother { .. } => {
                Some("give both jobs the same lock, so that one waits for the other; now: maint runs".into())
            }
            Self::Guard { source } => source.hint(),
            Self::NoLabel { label } => Some(format!("see which have it: docker ps --all --filter label={label}")),
            Self::WouldBeRemoved { name } => Some(format!("pause it instead, or run it without --rm: {name}")),
            Self::DidNotStay { name } => Some(format!("see why: docker logs --tail 50 {name}")),
            Self::NotBack { down, .. } => Some(format!("type now: {}", down.command())),
            Self::Journal { path, .. } | Self::NewerJournal { path, .. } => {
                Some(format!("see which containers it names, start them by hand, then remove it: {}", path.display()))
            }
            _ => None,
        }
    }
}

/// Which containers are to be quiet, each by name or, where it holds a `=`, by label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wish {
    /// Stopped and started again.
    pub stop: Vec<String>,
    /// Paused and let go on.
    pub pause: Vec<String>,
    /// How long a program may take to end before the engine kills it.
    pub stop_timeout: Duration,
}

impl Wish {
    /// Whether nothing is to be touched.
    pub fn is_empty(&self) -> bool {
        self.stop.is_empty() && self.pause.is_empty()
    }
}

/// Whose capture it is and what stands by.
#[derive(Debug)]
pub struct Capture<'a> {
    /// Its place among the journals.
    pub ticket: &'a Ticket,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: &'a StepId,
    /// maint's own program: the guard is another process of it.
    pub program: &'a Path,
    /// Fires when the run is to end.
    pub cancel: &'a CancellationToken,
}

/// Containers that are quiet. [`end`](Self::end) brings them back; dropped without, the guard does.
#[derive(Debug)]
pub struct Quiesced {
    docker: Docker,
    journal: Journal,
    path: PathBuf,
    guard: Option<Companion>,
    since: std::time::Instant,
}

/// Stops and pauses what the wish names, as far as it runs.
///
/// # Errors
/// When one cannot be found, stopped or paused. What was touched is back then, or the error is
/// [`QuiesceError::NotBack`].
pub async fn begin(docker: &Docker, wish: &Wish, capture: &Capture<'_>) -> Result<Quiesced, QuiesceError> {
    let containers = select(docker, wish, capture.ticket).await?;
    let (run, step, path) = (capture.run, capture.step.clone(), capture.ticket.journal());
    let seconds = wish.stop_timeout.as_secs();
    let mut journal = Journal::new(run, step, docker.host().to_owned(), clock::now(), seconds);
    let entry = |(c, how): (Container, How)| Entry { id: c.id, name: c.name, how, held: false };
    journal.containers = containers.into_iter().map(entry).collect();
    let since = clock::monotonic();
    let mut quiesced = Quiesced { docker: docker.clone(), journal, path, guard: None, since };
    if quiesced.journal.containers.is_empty() {
        return Ok(quiesced);
    }
    quiesced.journal.write(&quiesced.path)?;
    let invocation = Invocation::new(capture.program).arg("__guard").arg("--journal").arg(&quiesced.path);
    match Companion::start(&invocation).await {
        Ok(guard) => quiesced.guard = Some(guard),
        Err(source) => {
            files::remove_file(&quiesced.path)?;
            return Err(QuiesceError::Guard { source });
        }
    }
    match quiesced.hold_all(wish, capture.cancel).await {
        Ok(()) => Ok(quiesced),
        Err(error) => match quiesced.end().await {
            Ok(_) => Err(error),
            Err(worse) => Err(worse.after(&error)),
        },
    }
}

impl QuiesceError {
    /// Adds what had gone wrong before containers could not be brought back.
    #[must_use]
    pub fn after(self, earlier: &(dyn std::error::Error + 'static)) -> Self {
        match self {
            Self::NotBack { down, first, .. } => {
                Self::NotBack { down, first, after: Some(crate::model::failure::chain(earlier)) }
            }
            other => other,
        }
    }
}

/// The running containers that the wish names, dependents first.
async fn select(docker: &Docker, wish: &Wish, ticket: &Ticket) -> Result<Vec<(Container, How)>, QuiesceError> {
    let mut chosen: Vec<(Container, How)> = Vec::new();
    let wanted = wish.stop.iter().map(|s| (s, How::Stop)).chain(wish.pause.iter().map(|s| (s, How::Pause)));
    for (selector, how) in wanted {
        let found = if selector.contains('=') {
            let found = docker.containers_with_label(selector).await?;
            if found.is_empty() {
                return Err(QuiesceError::NoLabel { label: selector.clone() });
            }
            found
        } else {
            vec![docker.container(selector).await?.container]
        };
        for container in found {
            match chosen.iter().find(|(other, _)| other.id == container.id) {
                Some((_, other)) if *other != how => return Err(QuiesceError::StopAndPause { name: container.name }),
                Some(_) => {}
                None => chosen.push((container, how)),
            }
        }
    }
    // Who is quiet for somebody else comes back in the middle of this capture.
    for (other, id) in ticket.held_by_others()? {
        if let Some((container, _)) = chosen.iter().find(|(container, _)| container.id == id) {
            return Err(QuiesceError::HeldByAnother { name: container.name.clone(), ticket: other });
        }
    }
    chosen.retain(|(container, _)| container.state == State::Running);
    for (container, how) in &chosen {
        if *how == How::Stop && docker.container(&container.id).await?.removed_when_stopped {
            return Err(QuiesceError::WouldBeRemoved { name: container.name.clone() });
        }
    }
    let ways: Vec<(String, How)> = chosen.iter().map(|(container, how)| (container.id.clone(), *how)).collect();
    let ordered = order::dependents_first(chosen.into_iter().map(|(container, _)| container).collect());
    let how = |id: &str| ways.iter().find(|(other, _)| other == id).map_or(How::Stop, |(_, how)| *how);
    Ok(ordered.into_iter().map(|container| (how(&container.id), container)).map(|(how, c)| (c, how)).collect())
}

impl Quiesced {
    async fn hold_all(&mut self, wish: &Wish, cancel: &CancellationToken) -> Result<(), QuiesceError> {
        for index in 0..self.journal.containers.len() {
            // A request that is under way is waited for: given up, the engine would still carry it out, later.
            if cancel.is_cancelled() {
                return Err(QuiesceError::Cancelled);
            }
            let entry = &self.journal.containers[index];
            match entry.how {
                How::Stop => self.docker.stop(&entry.id, wish.stop_timeout).await?,
                How::Pause => self.docker.pause(&entry.id).await?,
            }
            self.journal.containers[index].held = true;
            self.journal.write(&self.path)?;
        }
        Ok(())
    }

    /// The names of the containers that are quiet.
    pub fn names(&self) -> Vec<String> {
        self.journal.containers.iter().map(|entry| entry.name.clone()).collect()
    }

    /// The ids of the containers that are stopped; those that are paused are not among them.
    pub fn stopped(&self) -> Vec<&str> {
        let stopped = self.journal.containers.iter().filter(|entry| entry.how == How::Stop);
        stopped.map(|entry| entry.id.as_str()).collect()
    }

    /// Brings them back and dismisses the guard. Gives how long they were quiet.
    ///
    /// # Errors
    /// [`QuiesceError::NotBack`] when one does not run again: the journal stays, and the guard goes on trying.
    pub async fn end(mut self) -> Result<Duration, QuiesceError> {
        if self.journal.containers.is_empty() {
            return Ok(Duration::ZERO);
        }
        back::bring_all_back(&self.docker, &self.journal, back::Caller::Alive).await?;
        let quiet = self.since.elapsed();
        files::remove_file(&self.path)?;
        if let Some(guard) = self.guard.take() {
            // Without a word it finds no journal and ends as well.
            let _ = guard.dismiss().await;
        }
        Ok(quiet)
    }
}
