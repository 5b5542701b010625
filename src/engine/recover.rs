//! Puts right what dead runs left: containers that they stopped, services that they were updating, helpers on the engine, staging directories, drills, and runs
//! in the ledger that never ended. What a living run has is never touched.

use std::path::Path;

use crate::{
    adapters::{
        clock,
        docker::{Docker, DockerError},
        files::FileError,
        ledger::{Ledger, LedgerError},
        lock::{Lock, LockError},
    },
    backup::{
        drill::place::{self, Swept},
        staging,
    },
    capture::{
        quiesce::{self, QuiesceError, Recovered},
        volume,
    },
    engine::run::{RECOVERY, job_lock},
    model::{
        failure::{Class, Diagnose, chain},
        ids::JobName,
        stack::Stack,
    },
    upkeep::rolling::{self, Healed, RollError},
};

/// Why it could not even be looked.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Quiesce(#[from] QuiesceError),
    #[error(transparent)]
    Roll(#[from] RollError),
}

impl Diagnose for RecoverError {
    fn class(&self) -> Class {
        match self {
            Self::Ledger(e) => e.class(),
            Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Quiesce(e) => e.class(),
            Self::Roll(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Ledger(e) => e.hint(),
            Self::Lock(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Quiesce(e) => e.hint(),
            Self::Roll(e) => e.hint(),
        }
    }
}

/// What was found, and, unless it was only looked for, put right.
#[derive(Debug, Default)]
pub struct Recovery {
    /// Containers of dead captures.
    pub containers: Vec<Recovered>,
    /// Services whose update died.
    pub services: Vec<Healed>,
    /// Helper containers on the engine.
    pub helpers: Vec<String>,
    /// Staging directories of dead runs.
    pub staging: Vec<String>,
    /// Drills that left a directory, a server or a container.
    pub drills: Vec<String>,
    /// Runs without an end, by job.
    pub runs: Vec<String>,
    /// What could not be put right: what, and the next step.
    pub failed: Vec<(String, Option<String>)>,
}

impl Recovery {
    /// Whether there was nothing to put right.
    pub fn is_empty(&self) -> bool {
        self.containers.is_empty()
            && self.services.is_empty()
            && self.helpers.is_empty()
            && self.staging.is_empty()
            && self.drills.is_empty()
            && self.runs.is_empty()
            && self.failed.is_empty()
    }

    fn fail(&mut self, error: &(impl Diagnose + 'static)) {
        self.failed.push((chain(error), error.hint()));
    }
}

/// Looks, and with `act` puts right. Containers first: somebody may be waiting for them.
///
/// # Errors
/// When state directory, ledger or backup directory cannot be used.
pub async fn recover(stack: &Stack, act: bool) -> Result<Recovery, RecoverError> {
    let mut found = Recovery::default();
    if !stack.state_dir.exists() {
        return Ok(found);
    }
    containers(&stack.state_dir, act, &mut found).await?;
    services(&stack.state_dir, act, &mut found).await?;
    if let Err(error) = helpers(stack, act, &mut found).await {
        found.fail(&error);
    }
    found.staging = if act { staging::sweep(&stack.backup_dir)? } else { staging::dead(&stack.backup_dir)? };
    drills(stack, act, &mut found).await;
    let ledger = Ledger::open(&stack.state_dir)?;
    for job in ledger.unfinished_jobs()? {
        found.runs.extend(runs(&ledger, &stack.state_dir, &job, act)?);
    }
    Ok(found)
}

async fn containers(state_dir: &Path, act: bool, found: &mut Recovery) -> Result<(), RecoverError> {
    if act {
        let recovery = quiesce::recover(state_dir).await?;
        found.containers = recovery.recovered;
        for error in &recovery.failed {
            found.fail(error);
        }
        return Ok(());
    }
    let (journals, mut notes) = quiesce::look(state_dir)?;
    found.containers = journals
        .into_iter()
        .map(|journal| Recovered {
            ticket: format!("{}-{}", journal.run, journal.step),
            containers: journal.containers.into_iter().map(|entry| entry.name).collect(),
            by_guard: false,
        })
        .collect();
    found.containers.append(&mut notes);
    Ok(())
}

/// Services whose update died in the middle: it is finished, or taken back.
async fn services(state_dir: &Path, act: bool, found: &mut Recovery) -> Result<(), RecoverError> {
    if act {
        let recovery = rolling::recover(state_dir).await?;
        found.services = recovery.healed;
        for error in &recovery.failed {
            found.fail(error);
        }
        return Ok(());
    }
    let healed = |journal: rolling::Journal| Healed {
        owner: format!("{}-{}", journal.run, journal.step),
        service: journal.service,
        what: "its update is finished, or taken back".to_owned(),
    };
    found.services = rolling::look(state_dir)?.into_iter().map(healed).collect();
    Ok(())
}

async fn drills(stack: &Stack, act: bool, found: &mut Recovery) {
    let scratch_dir = &stack.drill.scratch_dir;
    let swept = match act {
        true => place::sweep(scratch_dir, &stack.docker).await,
        false => place::dead(scratch_dir).map(|removed| Swept { removed, failed: Vec::new() }),
    };
    match swept {
        Ok(swept) => {
            found.drills = swept.removed;
            found.failed.extend(swept.failed);
        }
        Err(error) => found.fail(&error),
    }
}

/// Helpers whose capture is dead. A host without an engine has none.
async fn helpers(stack: &Stack, act: bool, found: &mut Recovery) -> Result<(), DockerError> {
    if !Path::new(stack.docker.host.trim_start_matches("unix://")).exists() {
        return Ok(());
    }
    let docker = Docker::connect(&stack.docker.host).await?;
    found.helpers = volume::sweep_helpers(&docker, &stack.state_dir, act).await?;
    Ok(())
}

/// Runs that never ended and live no more: killed, or their host was.
///
/// # Errors
/// When the ledger cannot be read or a lock not be looked at.
pub fn died(ledger: &Ledger, state_dir: &Path) -> Result<Vec<String>, RecoverError> {
    let mut died = Vec::new();
    for job in ledger.unfinished_jobs()? {
        died.extend(runs(ledger, state_dir, &job, false)?);
    }
    Ok(died)
}

/// Runs of a job that never ended, if none of them lives.
pub(super) fn runs(ledger: &Ledger, state_dir: &Path, job: &JobName, act: bool) -> Result<Vec<String>, RecoverError> {
    let _dead = match Lock::try_acquire(&job_lock(state_dir, job), RECOVERY) {
        Ok(lock) => lock,
        Err(LockError::Held { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    Ok(if act { ledger.interrupt_dead(job, clock::now())? } else { ledger.unfinished(job)? })
}
