//! Bringing containers back, whoever does it: the capture itself, its guard, or `maint recover`.

use std::{path::Path, time::Duration};

use super::{
    QuiesceError,
    down::{Down, Still},
    journal::{self, Entry, How, Journal, Ticket},
};
use crate::adapters::{
    clock,
    docker::{Docker, DockerError, State},
    files,
    lock::LockError,
};

const POLL: Duration = Duration::from_millis(100);
/// A started program that ends within this time has not come back.
const STAYS: Duration = Duration::from_millis(300);
/// Beyond the stop timeout: for the engine to end a stop that was under way when its caller died.
const IN_FLIGHT: Duration = Duration::from_secs(3);
/// How long a guard tries. The engine itself may be restarting.
const GUARD_TRIES_FOR: Duration = Duration::from_secs(600);
const GUARD_PAUSE: Duration = Duration::from_secs(1);

/// What bringing back found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The run that had died, and its step: the ticket's id.
    pub ticket: String,
    /// Containers that run again.
    pub containers: Vec<String>,
    /// Whether the dead run's guard had done it already.
    pub by_guard: bool,
}

/// What became of whoever asked for the stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    /// It has the engine's answer to all that it asked for.
    Alive,
    /// It died; its last request may still be under way.
    Dead,
}

/// Brings one container back. It ran when the journal was written.
async fn bring_back(docker: &Docker, journal: &Journal, entry: &Entry, caller: Caller) -> Result<(), QuiesceError> {
    // Made anew by somebody meanwhile: then the name finds it.
    let key = match docker.container(&entry.id).await {
        Ok(_) => &entry.id,
        Err(DockerError::NoSuchContainer { .. }) => &entry.name,
        Err(e) => return Err(e.into()),
    };
    if !entry.held && caller == Caller::Dead {
        settle(docker, journal, entry, key).await?;
    }
    match docker.container(key).await?.container.state {
        State::Running | State::Restarting => return Ok(()),
        State::Paused if entry.how == How::Pause => docker.unpause(key).await?,
        // Somebody else froze it.
        State::Paused => return Ok(()),
        State::Down => docker.start(key).await?,
    }
    tokio::time::sleep(STAYS).await;
    match docker.container(key).await?.container.state {
        State::Down => Err(QuiesceError::DidNotStay { name: entry.name.clone() }),
        _ => Ok(()),
    }
}

/// Waits for a stop or pause that was under way when its caller died: a start before its end would be undone by it.
async fn settle(docker: &Docker, journal: &Journal, entry: &Entry, key: &str) -> Result<(), QuiesceError> {
    let takes = match entry.how {
        How::Stop => Duration::from_secs(journal.stop_timeout_seconds).saturating_add(IN_FLIGHT),
        How::Pause => IN_FLIGHT,
    };
    let age = (clock::now() - journal.written).to_std().unwrap_or_default();
    let start = clock::monotonic();
    let patience = takes.saturating_sub(age);
    while start.elapsed() < patience && docker.container(key).await?.container.state == State::Running {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Brings all containers of a journal back, last stopped first; tries each, whatever becomes of the others.
pub(super) async fn bring_all_back(docker: &Docker, journal: &Journal, caller: Caller) -> Result<(), QuiesceError> {
    let (mut down, mut first) = (Vec::new(), None);
    // What is known to be held comes first, so that waiting for the rest delays nobody.
    let (held, others): (Vec<&Entry>, Vec<&Entry>) = journal.containers.iter().rev().partition(|entry| entry.held);
    for entry in held.into_iter().chain(others) {
        if let Err(error) = bring_back(docker, journal, entry, caller).await {
            let removed = matches!(error, QuiesceError::Docker(DockerError::NoSuchContainer { .. }));
            down.push(Still { name: entry.name.clone(), how: entry.how, removed });
            first.get_or_insert(error);
        }
    }
    match first {
        None => Ok(()),
        Some(first) => Err(QuiesceError::NotBack { down: Down(down), first: Box::new(first), after: None }),
    }
}

/// What a guard does when its maint has died: brings back what the journal names, trying for ten minutes.
///
/// # Errors
/// When it did not succeed in that time; the journal stays for `maint recover`.
pub async fn after_death(path: &Path) -> Result<Option<Recovered>, QuiesceError> {
    let (dir, id) = journal::ticket_of(path).ok_or_else(|| QuiesceError::NoJournal { path: path.to_owned() })?;
    let start = clock::monotonic();
    loop {
        let tried = one_journal(&dir, &id, By::Guard).await;
        let hopeless = match &tried {
            Ok(_) => true,
            Err(QuiesceError::NotBack { down, .. }) => down.0.iter().all(|still| still.removed),
            Err(_) => false,
        };
        if hopeless || start.elapsed() > GUARD_TRIES_FOR {
            return tried;
        }
        tokio::time::sleep(GUARD_PAUSE).await;
    }
}

/// Who brings back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The dead run's guard, whom nobody hears.
    Guard,
    /// A command that tells what it finds.
    Other,
}

/// Takes removed containers off a journal, once somebody was told: nothing can start them any more.
fn forget_removed(path: &Path, mut journal: Journal, error: &QuiesceError) -> Result<(), QuiesceError> {
    let QuiesceError::NotBack { down, .. } = error else { return Ok(()) };
    journal.containers.retain(|entry| down.0.iter().any(|still| still.name == entry.name && !still.removed));
    if journal.containers.is_empty() { Ok(files::remove_file(path)?) } else { journal.write(path) }
}

/// Brings back the containers of one dead capture. `None`: there is no journal any more.
async fn one_journal(dir: &Path, id: &str, by: By) -> Result<Option<Recovered>, QuiesceError> {
    let ticket = Ticket::take_over(dir, id)?;
    let path = ticket.journal();
    let Some(mut journal) = Journal::read(&path)? else { return Ok(None) };
    let docker = Docker::connect(&journal.docker_host).await?;
    if let Err(error) = bring_all_back(&docker, &journal, Caller::Dead).await {
        if by == By::Other {
            forget_removed(&path, journal, &error)?;
        }
        return Err(error);
    }
    if by == By::Guard {
        journal.back = Some(clock::now());
        journal.write(&ticket.brought_back())?;
    }
    files::remove_file(&path)?;
    let containers = journal.containers.into_iter().map(|entry| entry.name).collect();
    Ok(Some(Recovered { ticket: id.to_owned(), containers, by_guard: by == By::Guard }))
}

/// What dead captures left stopped, and what could not be brought back.
#[derive(Debug, Default)]
pub struct Recovery {
    /// What runs again.
    pub recovered: Vec<Recovered>,
    /// Captures that live: theirs is not touched. Their ids.
    pub alive: Vec<String>,
    /// What failed.
    pub failed: Vec<QuiesceError>,
}

/// Brings back what dead captures left stopped, and takes note of what guards have brought back.
///
/// # Errors
/// When the journals cannot be listed; what fails with one of them stands in the answer.
pub async fn recover(state_dir: &Path) -> Result<Recovery, QuiesceError> {
    let mut recovery = Recovery::default();
    let dir = journal::directory(state_dir);
    let listing = journal::list(&dir)?;
    // The lock of a capture that died without touching a container goes with its ticket.
    for id in listing.journals.into_iter().chain(listing.locks) {
        match one_journal(&dir, &id, By::Other).await {
            Ok(recovered) => recovery.recovered.extend(recovered),
            Err(QuiesceError::Lock(LockError::Held { .. })) => recovery.alive.push(id),
            Err(error) => recovery.failed.push(error),
        }
    }
    for note in listing.notes {
        recovery.recovered.extend(read_note(&note)?);
        files::remove_file(&note)?;
    }
    Ok(recovery)
}

/// What [`recover`] would find, without touching anything: journals of dead captures, and guards' notes.
///
/// # Errors
/// When a journal cannot be read.
pub fn look(state_dir: &Path) -> Result<(Vec<Journal>, Vec<Recovered>), QuiesceError> {
    let dir = journal::directory(state_dir);
    let listing = journal::list(&dir)?;
    let mut dead = Vec::new();
    for id in listing.journals {
        match Ticket::take_over(&dir, &id) {
            Ok(ticket) => dead.extend(Journal::read(&ticket.journal())?),
            Err(LockError::Held { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let notes = listing.notes.iter().map(|note| read_note(note)).collect::<Result<Vec<_>, _>>()?;
    Ok((dead, notes.into_iter().flatten().collect()))
}

fn read_note(path: &Path) -> Result<Option<Recovered>, QuiesceError> {
    let Some(journal) = Journal::read(path)? else { return Ok(None) };
    let ticket = format!("{}-{}", journal.run, journal.step);
    let containers = journal.containers.into_iter().map(|entry| entry.name).collect();
    Ok(Some(Recovered { ticket, containers, by_guard: true }))
}
