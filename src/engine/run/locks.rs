//! One run per job at a time, and the named locks across jobs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{
    adapters::lock::{Lock, LockError, UNNAMED},
    config::Overlap,
    engine::plan::Plan,
    model::{
        ids::{JobName, RunId},
        stack::Stack,
    },
};

/// What became of asking for a run's locks.
pub(super) enum Taken {
    /// They are held.
    Locks(Vec<Lock>),
    /// Somebody else does the same slot just now; who.
    AtWork(String),
}

/// A job's own lock, or who does the same slot just now.
enum Own {
    Lock(Lock),
    AtWork(String),
}

/// Who holds a job's lock only to see whether a run of it lives.
pub(in crate::engine) const RECOVERY: &str = "a recovery";

/// A job's own lock: held by whoever runs it, so a free one proves that no run of it lives.
pub(in crate::engine) fn job_lock(state_dir: &Path, job: &JobName) -> PathBuf {
    state_dir.join("locks").join(format!("{}.lock", job_lock_name(job)))
}

/// How a job's own lock is called in errors.
pub(in crate::engine) fn job_lock_name(job: &JobName) -> String {
    format!("job-{job}")
}

/// What the run would say of its slot as the holder of a lock.
fn for_slot(slot: Option<DateTime<Utc>>) -> String {
    slot.map(|slot| format!(" for the slot {}", slot.to_rfc3339())).unwrap_or_default()
}

/// Takes the job's own lock, unless whoever has it is at work for the very slot.
async fn take_own(path: &Path, holder: &str, plan: &Plan, cancel: &CancellationToken) -> Result<Own, RunError> {
    let mut looks = 0;
    let held = loop {
        looks += 1;
        match Lock::try_acquire(path, holder) {
            Ok(lock) => return Ok(Own::Lock(lock)),
            // It is just being taken or given back, or looked whether its run lives: a moment later it is clear.
            Err(LockError::Held { holder, .. }) if [UNNAMED, RECOVERY].contains(&holder.as_str()) && looks < 20 => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => break error,
        }
    };
    match (held, plan.job.overlap) {
        (LockError::Held { holder, .. }, _) if plan.slot.is_some() && holder.contains(&for_slot(plan.slot)) => {
            Ok(Own::AtWork(holder))
        }
        (LockError::Held { .. }, Overlap::Queue) => Ok(Own::Lock(wait(path, holder, plan, cancel).await?)),
        (error, _) => Err(error.into()),
    }
}

/// Takes the job's lock, then the named ones in the order of their names, so that no two runs wait for each other.
pub(super) async fn take(
    plan: &Plan,
    stack: &Stack,
    run: RunId,
    cancel: &CancellationToken,
) -> Result<Taken, RunError> {
    let job = &plan.job;
    let holder = format!("run {run} of {}{}, pid {}", job.name, for_slot(plan.slot), std::process::id());
    let own = job_lock(&stack.state_dir, &job.name);
    let mut held = match take_own(&own, &holder, plan, cancel).await? {
        Own::Lock(lock) => vec![lock],
        Own::AtWork(holder) => return Ok(Taken::AtWork(holder)),
    };
    let mut names = job.locks.clone();
    names.sort();
    names.dedup();
    for name in names {
        let path = stack.state_dir.join("locks").join(format!("{name}.lock"));
        held.push(wait(&path, &holder, plan, cancel).await?);
    }
    Ok(Taken::Locks(held))
}

async fn wait(path: &Path, holder: &str, plan: &Plan, cancel: &CancellationToken) -> Result<Lock, RunError> {
    tokio::select! {
        taken = Lock::acquire(path, holder, plan.job.lock_wait) => taken.map_err(|e: LockError| e.into()),
        () = cancel.cancelled() => {
            Err(RunError::StoppedWaiting(path.file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        }
    }
}
