//! One run per job at a time, and the named locks across jobs.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{
    adapters::lock::{Lock, LockError},
    config::Overlap,
    engine::plan::Plan,
    model::{
        ids::{JobName, RunId},
        stack::Stack,
    },
};

/// A job's own lock: held by whoever runs it, so a free one proves that no run of it lives.
pub(in crate::engine) fn job_lock(state_dir: &Path, job: &JobName) -> PathBuf {
    state_dir.join("locks").join(format!("job-{job}.lock"))
}

/// Takes the job's lock, then the named ones in the order of their names, so that no two runs wait for each other.
pub(super) async fn take(
    plan: &Plan,
    stack: &Stack,
    run: RunId,
    cancel: &CancellationToken,
) -> Result<Vec<Lock>, RunError> {
    let job = &plan.job;
    let holder = format!("run {run} of {}, pid {}", job.name, std::process::id());
    let own = job_lock(&stack.state_dir, &job.name);
    let mut held = vec![match job.overlap {
        Overlap::Skip => Lock::try_acquire(&own, &holder)?,
        Overlap::Queue => wait(&own, &holder, plan, cancel).await?,
    }];
    let mut names = job.locks.clone();
    names.sort();
    names.dedup();
    for name in names {
        let path = stack.state_dir.join("locks").join(format!("{name}.lock"));
        held.push(wait(&path, &holder, plan, cancel).await?);
    }
    Ok(held)
}

async fn wait(path: &Path, holder: &str, plan: &Plan, cancel: &CancellationToken) -> Result<Lock, RunError> {
    tokio::select! {
        taken = Lock::acquire(path, holder, plan.job.lock_wait) => taken.map_err(|e: LockError| e.into()),
        () = cancel.cancelled() => {
            Err(RunError::StoppedWaiting(path.file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        }
    }
}
