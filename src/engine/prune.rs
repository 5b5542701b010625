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
        retention::{Pruned, Pruning, RetentionError, Series, StoredSeries, without_copy},
        upload::Destination,
    },
    config::{BackupPolicy, Job},
    model::{
        failure::{Class, Diagnose, chain},
        retention::Keep,
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

/// What became of a job's series, place by place.
#[derive(Debug, Default)]
pub struct Report {
    /// Places that were pruned, or frozen.
    pub places: Vec<Place>,
    /// Places that could not be, by name.
    pub failed: Vec<(String, PruneError)>,
}

impl Report {
    fn add(&mut self, name: &str, place: Result<Place, PruneError>) {
        match place {
            Ok(place) => self.places.push(place),
            Err(error) => self.failed.push((name.to_owned(), error)),
        }
    }
}

/// A job's series, and all that pruning it needs.
struct Work<'a> {
    stack: &'a Stack,
    policy: &'a BackupPolicy,
    zone: chrono_tz::Tz,
    trust: Option<Arc<Trust>>,
    signer: Option<Arc<Signer>>,
    act: bool,
    cancel: &'a CancellationToken,
}

/// Whether anything says which sets of a job are kept, here or in one of its stores.
pub fn has_policy(job: &Job, stack: &Stack) -> bool {
    let in_store = |name: &String| stack.stores.get(name).is_some_and(|store| store.keep.is_some());
    job.backup.as_ref().is_some_and(|backup| backup.keep.is_some() || backup.stores.iter().any(in_store))
}

/// Prunes a job's series by hand: while no run of the job can add to it. Without `act` it only says what would go.
///
/// # Errors
/// When the job runs just now, or nobody can tell who signs and is believed.
pub async fn by_hand(stack: &Stack, job: &Job, act: bool, cancel: &CancellationToken) -> Result<Report, PruneError> {
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

/// Prunes a job's series in every place that has a policy; one that fails does not keep the others from it. The caller
/// holds the job's lock.
///
/// # Errors
/// When nobody can tell who is believed.
pub async fn prune(
    stack: &Stack,
    job: &Job,
    signer: Option<Arc<Signer>>,
    act: bool,
    cancel: &CancellationToken,
) -> Result<Report, PruneError> {
    let mut report = Report::default();
    let Some(policy) = &job.backup else { return Ok(report) };
    let trust = stack.sign.trust.as_deref().map(Trust::load).transpose()?.map(Arc::new);
    let work = Work { stack, policy, zone: job.timezone, trust, signer, act, cancel };
    if let Some(keep) = &policy.keep {
        report.add("backups", work.local(keep).await);
    }
    for name in &policy.stores {
        if let Some(keep) = stack.stores.get(name).and_then(|store| store.keep.as_ref()) {
            // Boxed, for what speaks to a bucket is large.
            report.add(name, Box::pin(work.store(name, keep)).await);
        }
    }
    Ok(report)
}

impl Work<'_> {
    fn series(&self) -> Series<'_> {
        Series {
            name: &self.policy.series,
            dir: Completeness::Whole.series_dir(&self.stack.backup_dir, self.policy.series.as_str()),
            zone: self.zone,
            trust: self.trust.as_deref(),
            signer: self.signer.as_deref(),
        }
    }

    /// The backup directory. A set that a store of the job should have, and has not, stays: it would be lost to that store.
    async fn local(&self, keep: &Keep) -> Result<Place, PruneError> {
        let mut pruning = self.blocking(keep, BTreeMap::new(), None).await?.pruning;
        let doomed: Vec<String> = pruning.doomed().map(|decision| decision.set.clone()).collect();
        let mut held = BTreeMap::new();
        if !doomed.is_empty() {
            for name in &self.policy.stores {
                held.extend(Box::pin(self.held_for(name, &doomed)).await);
            }
        }
        if !held.is_empty() {
            pruning = self.blocking(keep, held, None).await?.pruning;
        }
        match self.act {
            true => self.blocking(keep, BTreeMap::new(), Some(pruning)).await,
            false => Ok(Place { pruning, pruned: Pruned::default() }),
        }
    }

    /// Why these sets must stay for a store. Where it cannot be asked, nobody knows of any of them.
    async fn held_for(&self, name: &str, sets: &[String]) -> BTreeMap<String, String> {
        let asked = match Destination::open(self.stack, name).await {
            Ok(to) => {
                let lacking = without_copy(&to, &self.stack.name, &self.policy.series, sets.to_vec()).await;
                lacking.map_err(|e| chain(&e))
            }
            Err(error) => Err(chain(&error)),
        };
        match asked {
            Ok(lacking) => {
                let why = format!("the store {name} has no copy of it yet");
                lacking.into_iter().map(|set| (set, why.clone())).collect()
            }
            Err(error) => {
                let why = format!("whether the store {name} has a copy could not be asked: {error}");
                sets.iter().map(|set| (set.clone(), why.clone())).collect()
            }
        }
    }

    /// Plans, or carries a plan out, on a thread that may wait for the disk.
    async fn blocking(
        &self,
        keep: &Keep,
        held: BTreeMap<String, String>,
        planned: Option<Pruning>,
    ) -> Result<Place, PruneError> {
        let (name, keep, cancel) = (self.policy.series.clone(), keep.clone(), self.cancel.clone());
        let Series { dir, zone, .. } = self.series();
        let (trust, signer) = (self.trust.clone(), self.signer.clone());
        let done = tokio::task::spawn_blocking(move || {
            let series = Series { name: &name, dir, zone, trust: trust.as_deref(), signer: signer.as_deref() };
            match planned {
                Some(pruning) => {
                    let pruned = series.carry_out(&pruning, &cancel)?;
                    Ok::<_, RetentionError>(Place { pruning, pruned })
                }
                None => {
                    let pruning = series.plan(&keep, clock::now(), &held)?;
                    Ok(Place { pruning, pruned: Pruned::default() })
                }
            }
        });
        Ok(done.await??)
    }

    async fn store(&self, name: &str, keep: &Keep) -> Result<Place, PruneError> {
        let to = Destination::open(self.stack, name).await.map_err(RetentionError::from)?;
        let stored = StoredSeries { to: &to, stack: &self.stack.name, local: self.series() };
        let pruning = stored.plan(keep, clock::now()).await?;
        let pruned = match self.act {
            true => stored.carry_out(&pruning, self.cancel).await?,
            false => Pruned::default(),
        };
        Ok(Place { pruning, pruned })
    }
}
