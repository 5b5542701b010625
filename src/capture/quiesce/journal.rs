//! What a capture has stopped or paused, on disk before it happens: so that anybody can bring it back.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::QuiesceError;
use crate::{
    adapters::{
        files,
        lock::{Lock, LockError},
    },
    model::ids::{RunId, StepId},
};

/// Below the state directory.
const DIR: &str = "journals";
const JOURNAL: &str = ".quiesce.json";
const BROUGHT_BACK: &str = ".back.json";
const LOCK: &str = ".lock";
/// No journal is longer: some hundred bytes a container.
const LONGEST: u64 = 4 << 20;
const VERSION: u32 = 1;

/// How a container is kept quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Its program is ended and started again.
    Stop,
    /// Its processes are frozen.
    Pause,
}

/// One container of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The engine's id.
    pub id: String,
    /// Its name: it finds the container where somebody made it anew.
    pub name: String,
    /// How it is kept quiet.
    pub how: How,
    /// Whether the engine said that it is done; if not, the request may still be under way.
    pub held: bool,
}

/// The containers of one capture. All of them ran when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    version: u32,
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The engine.
    pub docker_host: String,
    /// When it was first written.
    pub written: DateTime<Utc>,
    /// How long a stop may take before the engine kills.
    pub stop_timeout_seconds: u64,
    /// In the order in which they are stopped.
    pub containers: Vec<Entry>,
    /// When a guard brought them back after the run had died.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub back: Option<DateTime<Utc>>,
}

impl Journal {
    /// A journal that is not on disk yet.
    pub fn new(
        run: RunId,
        step: StepId,
        docker_host: String,
        written: DateTime<Utc>,
        stop_timeout_seconds: u64,
    ) -> Self {
        let containers = Vec::new();
        Self { version: VERSION, run, step, docker_host, written, stop_timeout_seconds, containers, back: None }
    }

    /// Reads one; `None` where there is none.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn read(path: &Path) -> Result<Option<Self>, QuiesceError> {
        let bytes = match files::read_limited(path, LONGEST) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let journal: Self =
            serde_json::from_slice(&bytes).map_err(|source| QuiesceError::Journal { path: path.to_owned(), source })?;
        if journal.version > VERSION {
            return Err(QuiesceError::NewerJournal { path: path.to_owned(), version: journal.version });
        }
        Ok(Some(journal))
    }

    /// Writes it, synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), QuiesceError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|source| QuiesceError::Journal { path: path.to_owned(), source })?;
        Ok(files::write_atomic(path, &text)?)
    }
}

/// A capture's place below `state_dir/journals`. Whoever has its lock answers for its containers and helpers.
#[derive(Debug)]
pub struct Ticket {
    dir: PathBuf,
    id: String,
    _lock: Lock,
}

impl Ticket {
    /// Takes the place of one step of one run.
    ///
    /// # Errors
    /// When it is taken, or the directory cannot be written.
    pub fn take(state_dir: &Path, run: RunId, step: &StepId) -> Result<Self, LockError> {
        Self::take_over(&directory(state_dir), &format!("{run}-{step}"))
    }

    /// Takes the place of a capture that has died.
    ///
    /// # Errors
    /// [`LockError::Held`] when it lives.
    pub fn take_over(dir: &Path, id: &str) -> Result<Self, LockError> {
        let holder = format!("process {}", std::process::id());
        let lock = Lock::try_acquire(&dir.join(format!("{id}{LOCK}")), &holder)?;
        Ok(Self { dir: dir.to_owned(), id: id.to_owned(), _lock: lock })
    }

    /// Its name, unique on this host.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The containers that other living captures keep quiet: their ticket's id, the container's id.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn held_by_others(&self) -> Result<Vec<(String, String)>, QuiesceError> {
        let mut held = Vec::new();
        for id in list(&self.dir)?.journals.into_iter().filter(|id| *id != self.id) {
            // Whose lock is free is dead; what it stopped is what `recover` is for.
            if let Err(LockError::Held { .. }) = Self::take_over(&self.dir, &id)
                && let Some(journal) = Journal::read(&self.dir.join(format!("{id}{JOURNAL}")))?
            {
                held.extend(journal.containers.into_iter().map(|entry| (id.clone(), entry.id)));
            }
        }
        Ok(held)
    }

    /// Its journal's path, whether or not there is one.
    pub fn journal(&self) -> PathBuf {
        self.dir.join(format!("{}{JOURNAL}", self.id))
    }

    /// Where a guard says that it brought everything back.
    pub fn brought_back(&self) -> PathBuf {
        self.dir.join(format!("{}{BROUGHT_BACK}", self.id))
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Whoever waits for the lock gets it and finds nothing to do; an empty file that stays does no harm.
        let _ = files::remove_file(&self.dir.join(format!("{}{LOCK}", self.id)));
    }
}

/// Where journals are.
pub fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

/// The ticket that a journal's path belongs to: its directory and id.
pub fn ticket_of(journal: &Path) -> Option<(PathBuf, String)> {
    let id = journal.file_name()?.to_str()?.strip_suffix(JOURNAL)?;
    Some((journal.parent()?.to_owned(), id.to_owned()))
}

/// What stands in the directory of journals, oldest run first.
#[derive(Debug, Default)]
pub struct Listing {
    /// The ids of captures that have a journal.
    pub journals: Vec<String>,
    /// The ids of captures that have a lock and no journal: they live, or died without touching a container.
    pub locks: Vec<String>,
    /// Guards' notes.
    pub notes: Vec<PathBuf>,
}

/// Lists the directory of journals; one that is not there is empty.
///
/// # Errors
/// When it cannot be read.
pub fn list(dir: &Path) -> Result<Listing, QuiesceError> {
    let mut listing = Listing::default();
    let names = match files::list(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(listing),
        names => names?,
    };
    for name in names {
        let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else { continue };
        if let Some(id) = name.strip_suffix(JOURNAL) {
            listing.journals.push(id.to_owned());
        } else if let Some(id) = name.strip_suffix(LOCK) {
            listing.locks.push(id.to_owned());
        } else if name.ends_with(BROUGHT_BACK) {
            listing.notes.push(dir.join(name));
        }
    }
    listing.journals.sort();
    listing.notes.sort();
    listing.locks.retain(|id| listing.journals.binary_search(id).is_err());
    Ok(listing)
}
