//! Prunes the series of a job: what `maint prune` and the tail of a backup job do.

use std::{collections::BTreeMap, sync::Arc};

use tokio_util::sync::CancellationToken;

use super::run::job_lock;
use crate::{
    adapters::{
        clock,
        lock::{Lock, LockError},
        signature::{SignError, Signer, Trust},
    },
    backup::{
        publish::Completeness,
        retention::{Pruned, Pruning, RetentionError, Series},
    },
    config::Job,
    model::{
        failure::{Class, Diagnose},
        stack::Stack,
    },
};

/// A pruning that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Retention(#[from] RetentionError),
    #[error("pruning panicked: {0}; this is a mistake in maint, please report it")]
    Panicked(#[from] tokio::task::JoinError),
}

impl Diagnose for PruneError {
    fn class(&self) -> Class {
        match self {
            Self::Lock(e) => e.class(),
            Self::Sign(e) => e.class(),
            Self::Retention(e) => e.class(),
            Self::Panicked(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Lock(e) => e.hint(),
            Self::Sign(e) => e.hint(),
            Self::Retention(e) => e.hint(),
            Self::Panicked(_) => None,
        }
    }
}

/// What was decided and done in one place.
#[derive(Debug, serde::Serialize)]
pub struct Place {
    /// What was decided.
    #[serde(flatten)]
    pub pruning: Pruning,
    /// What was done; nothing by a dry run.
    #[serde(flatten)]
    pub pruned: Pruned,
}

/// Whether anything says which sets of a job are kept.
pub fn has_policy(job: &Job) -> bool {
    job.backup.as_ref().is_some_and(|backup| backup.keep.is_some())
}

/// Prunes a job's series by hand: while no run of the job can add to it. Without `act` it only says what would go.
///
/// # Errors
/// When the job runs just now, or a place cannot be read or pruned.
pub async fn by_hand(
    stack: &Stack,
    job: &Job,
    act: bool,
    cancel: &CancellationToken,
) -> Result<Vec<Place>, PruneError> {
    // A plan alone changes nothing, and may be asked for while the job runs.
    let _lock = match act {
        true => {
            let holder = format!("maint prune, pid {}", std::process::id());
            Some(Lock::try_acquire(&job_lock(&stack.state_dir, &job.name), &holder)?)
        }
        false => None,
    };
    let signer = stack.sign.key.as_ref().map(Signer::load).transpose()?.map(Arc::new);
    prune(stack, job, signer, act, cancel).await
}

/// Prunes a job's series in every place that has a policy. The caller holds the job's lock.
///
/// # Errors
/// When a place cannot be read or pruned.
pub async fn prune(
    stack: &Stack,
    job: &Job,
    signer: Option<Arc<Signer>>,
    act: bool,
    cancel: &CancellationToken,
) -> Result<Vec<Place>, PruneError> {
    let mut places = Vec::new();
    let Some((policy, keep)) = job.backup.as_ref().and_then(|b| Some((b.clone(), b.keep.clone()?))) else {
        return Ok(places);
    };
    let trust = stack.sign.trust.as_deref().map(Trust::load).transpose()?;
    let dir = Completeness::Whole.series_dir(&stack.backup_dir, policy.series.as_str());
    let (zone, cancel) = (job.timezone, cancel.clone());
    let local = tokio::task::spawn_blocking(move || {
        let series = Series { name: &policy.series, dir, zone, trust: trust.as_ref(), signer: signer.as_deref() };
        let pruning = series.plan(&keep, clock::now(), &BTreeMap::new())?;
        let pruned = if act { series.carry_out(&pruning, &cancel)? } else { Pruned::default() };
        Ok::<_, RetentionError>(Place { pruning, pruned })
    });
    places.push(local.await??);
    Ok(places)
}
