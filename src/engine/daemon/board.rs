//! Who waits, who runs: in the order of slots, within the limit, named locks and overlap minded. No I/O, no clock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use chrono::{DateTime, Utc};

use crate::{
    config::{Job, Overlap},
    model::ids::JobName,
};

/// A slot that waits for its turn.
#[derive(Debug)]
struct Waiting {
    job: Job,
    slot: DateTime<Utc>,
    since: Instant,
}

/// A job at work.
#[derive(Debug)]
struct Running {
    slot: DateTime<Utc>,
    locks: Vec<String>,
}

/// What became of a slot that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    /// It waits for its turn, which may come at once.
    Waits,
    /// It waits or runs already.
    Known,
    /// It waits instead of an older slot of the job.
    Instead(DateTime<Utc>),
    /// The job is at work for this slot, and skips what comes meanwhile.
    Overlapped(DateTime<Utc>),
}

/// A slot whose turn it is.
#[derive(Debug)]
pub(super) struct Start {
    /// The job; it waits for locks only for what is left of its `lock_wait`.
    pub job: Job,
    /// The slot.
    pub slot: DateTime<Utc>,
}

/// The slots that wait and run.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// By slot, then by job: who was due first comes first.
    waiting: BTreeMap<(DateTime<Utc>, JobName), Waiting>,
    running: BTreeMap<JobName, Running>,
}

impl Board {
    /// A slot is due.
    pub(super) fn offer(&mut self, job: &Job, slot: DateTime<Utc>, now: Instant) -> Offered {
        let key = (slot, job.name.clone());
        let running = self.running.get(&job.name).map(|running| running.slot);
        if running == Some(slot) || self.waiting.contains_key(&key) {
            return Offered::Known;
        }
        if let (Some(running), Overlap::Skip) = (running, job.overlap) {
            return Offered::Overlapped(running);
        }
        let older = self.waiting.keys().find(|(_, name)| *name == job.name).cloned();
        let earlier = older.as_ref().and_then(|key| self.waiting.remove(key));
        self.waiting.insert(key, Waiting { job: job.clone(), slot, since: earlier.map_or(now, |w| w.since) });
        older.map_or(Offered::Waits, |(slot, _)| Offered::Instead(slot))
    }

    /// The next slot whose turn it is; it counts as running from here on. One that waited for a lock as long as its job
    /// allows is started all the same: the run itself says who holds the lock.
    pub(super) fn next(&mut self, max_running: usize, now: Instant) -> Option<Start> {
        if self.running.len() >= max_running {
            return None;
        }
        let mut taken: BTreeSet<&str> =
            self.running.values().flat_map(|running| &running.locks).map(String::as_str).collect();
        let mut turn = None;
        for (key, waiting) in &self.waiting {
            let blocked = self.running.contains_key(&waiting.job.name)
                || waiting.job.locks.iter().any(|lock| taken.contains(lock.as_str()));
            if !blocked || now.saturating_duration_since(waiting.since) >= waiting.job.lock_wait {
                turn = Some(key.clone());
                break;
            }
            // Nobody who was due later gets a lock before this one.
            taken.extend(waiting.job.locks.iter().map(String::as_str));
        }
        let mut waiting = self.waiting.remove(&turn?)?;
        let waited = now.saturating_duration_since(waiting.since);
        waiting.job.lock_wait = waiting.job.lock_wait.saturating_sub(waited);
        // A job that queues behind itself has its own lock refused: it never runs twice at once.
        let running = Running { slot: waiting.slot, locks: waiting.job.locks.clone() };
        self.running.entry(waiting.job.name.clone()).or_insert(running);
        Some(Start { job: waiting.job, slot: waiting.slot })
    }

    /// A run ended.
    pub(super) fn ended(&mut self, job: &JobName, slot: DateTime<Utc>) {
        if self.running.get(job).is_some_and(|running| running.slot == slot) {
            self.running.remove(job);
        }
    }

    /// Forgets what waits: whoever looks again finds it again, unless it is not wanted any more.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// How many run.
    pub(super) fn running(&self) -> usize {
        self.running.len()
    }
}

#[cfg(test)]
mod tests;
