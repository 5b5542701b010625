//! What an update is about to do to a service, on disk before it happens: whoever finds it can finish it or take it back.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{RollError, health::Gate, proxy::Proxy};
use crate::{
    adapters::{
        files,
        lock::{Lock, LockError},
    },
    model::{
        compose::ComposeProject,
        ids::{RunId, StepId},
    },
};

/// Below the state directory.
const DIR: &str = "rolls";
const JOURNAL: &str = ".roll.json";
const LOCK: &str = ".lock";
/// No journal is longer: some hundred bytes a container.
const LONGEST: u64 = 4 << 20;
const VERSION: u32 = 1;

/// How a service is updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// New containers beside the old ones, which go when the new ones serve.
    Beside,
    /// Each container made anew in its place: it is away meanwhile.
    InPlace,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// New containers may be there, and nobody knows whether they are fit: the old ones count.
    Begun,
    /// The new ones are fit and may be asked already: the old ones go.
    Proven,
}

/// An update of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    pub(super) version: u32,
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The engine.
    pub docker_host: String,
    /// The project.
    pub project: ComposeProject,
    /// When it began.
    pub begun: DateTime<Utc>,
    /// The service.
    pub service: String,
    /// How it is updated.
    pub way: Way,
    /// How far it is.
    pub phase: Phase,
    /// The containers that served when it began, by id.
    pub old: Vec<String>,
    /// The image's name.
    pub image: String,
    /// What that name stood for in the old containers; `None`: there were none.
    pub old_image: Option<String>,
    /// What it stands for now.
    pub new_image: String,
    /// When a new container counts as fit.
    pub gate: Gate,
    /// How long an old one may take to end; `None`: as long as it says itself.
    pub stop_grace: Option<Duration>,
    /// Who has to be told of new containers.
    pub proxy: Option<Proxy>,
    /// What is run in an old container before it is stopped.
    pub drain: Vec<String>,
}

impl Journal {
    /// The version that this maint writes.
    pub(super) const VERSION: u32 = VERSION;

    fn read(path: &Path) -> Result<Option<Self>, RollError> {
        let bytes = match files::read_limited(path, LONGEST) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes?,
        };
        let journal: Self =
            serde_json::from_slice(&bytes).map_err(|source| RollError::Journal { path: path.to_owned(), source })?;
        if journal.version > VERSION {
            return Err(RollError::NewerJournal { path: path.to_owned(), version: journal.version });
        }
        Ok(Some(journal))
    }
}

/// A project's place below `state_dir/rolls`. Whoever has it, and nobody else, updates the project's services.
#[derive(Debug)]
pub struct Place {
    journal: PathBuf,
    lock: PathBuf,
    _held: Lock,
}

impl Place {
    /// Takes it.
    ///
    /// # Errors
    /// [`LockError::Held`] while somebody else has it.
    pub fn take(state_dir: &Path, project: &str) -> Result<Self, LockError> {
        let dir = directory(state_dir);
        let lock = dir.join(format!("{project}{LOCK}"));
        let held = Lock::try_acquire(&lock, &format!("process {}", std::process::id()))?;
        Ok(Self { journal: dir.join(format!("{project}{JOURNAL}")), lock, _held: held })
    }

    /// What a dead update left.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn left(&self) -> Result<Option<Journal>, RollError> {
        Journal::read(&self.journal)
    }

    /// Writes the journal, synced.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, journal: &Journal) -> Result<(), RollError> {
        let text = serde_json::to_vec_pretty(journal)
            .map_err(|source| RollError::Journal { path: self.journal.clone(), source })?;
        Ok(files::write_alone(&self.journal, &text)?)
    }

    /// Everything is as it should be.
    ///
    /// # Errors
    /// When the journal cannot be removed.
    pub fn done(&self) -> Result<(), RollError> {
        Ok(files::remove_file(&self.journal)?)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever waits for the lock gets it; an empty file that stays does no harm.
        let _ = files::remove_file(&self.lock);
    }
}

/// Where journals are.
fn directory(state_dir: &Path) -> PathBuf {
    state_dir.join(DIR)
}

/// The projects that have a journal.
///
/// # Errors
/// When the directory cannot be read.
pub fn projects(state_dir: &Path) -> Result<Vec<String>, RollError> {
    let names = match files::list(&directory(state_dir)) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        names => names?,
    };
    let project = |name: &std::ffi::OsString| name.to_str()?.strip_suffix(JOURNAL).map(str::to_owned);
    Ok(names.iter().filter_map(project).filter(|name| !name.starts_with('.')).collect())
}
