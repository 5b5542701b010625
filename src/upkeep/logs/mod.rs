//! Log rotation that loses no line: old logs are packed, packed ones removed when their time is over.

mod batch;
mod live;
mod names;
mod pack;
mod report;
mod select;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

pub use live::{Live, Writer};
pub use select::Pattern;

use super::{Done, UpkeepError};
use crate::{
    adapters::{
        clock,
        holders::{self, Identity},
        lock::{Lock, LockError},
        plant::Ground,
        tree::{self, Dir},
    },
    model::event::StepEvents,
};
use batch::{Became, Place};
use live::Yard;
use report::Tally;
use select::Log;

/// Which logs, and when.
#[derive(Debug)]
pub struct LogsRequest<'a> {
    /// Where they are.
    pub patterns: Vec<Pattern>,
    /// A log is packed when nobody wrote to it for this long.
    pub compress_after: Duration,
    /// A packed log is removed when its last line is older than this; `None`: never.
    pub delete_after: Option<Duration>,
    /// How logs that are being written are rotated; `None`: they are left alone.
    pub live: Option<Live>,
    /// Ledger, locks.
    pub state_dir: &'a std::path::Path,
    /// The engine, for writers in containers.
    pub docker_host: &'a str,
    /// Who holds the lock, for others.
    pub holder: String,
}

/// Rotates.
///
/// # Errors
/// When another maint is at it, this one may not look into other processes, or the run is stopped.
pub async fn rotate(
    request: LogsRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Done, UpkeepError> {
    let begun = clock::monotonic();
    let now = clock::now();
    let _lock = Lock::try_acquire(&request.state_dir.join("locks").join("log-rotate.lock"), &request.holder)?;
    let mut tally = Tally::default();
    for pattern in &request.patterns {
        let base = match tree::open_dir(None, pattern.base.as_os_str().as_encoded_bytes()) {
            Ok(base) => Arc::new(base),
            Err(error) => {
                tally.no_directory(pattern, &error);
                continue;
            }
        };
        if !base.lock().map_err(|source| reading(pattern, source))? {
            let name = format!("log-rotate of {}", pattern.base.display());
            return Err(LockError::Held { name, holder: "another maint".into() }.into());
        }
        let one = Rotation { request: &request, pattern, base, now, cancel, events };
        one.run(&mut tally).await?;
    }
    Ok(tally.report(&request, begun.elapsed()))
}

fn reading(pattern: &Pattern, source: std::io::Error) -> UpkeepError {
    UpkeepError::Reading { dir: pattern.base.clone(), source }
}

/// The work on one pattern.
struct Rotation<'a> {
    request: &'a LogsRequest<'a>,
    pattern: &'a Pattern,
    base: Arc<Dir>,
    now: DateTime<Utc>,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
}

/// What is to be done with the logs that were found.
#[derive(Default)]
struct Sorted {
    pack: Vec<Log>,
    live: Vec<(Log, BTreeSet<i32>)>,
    held: Vec<(Log, BTreeSet<i32>)>,
    young: usize,
}

impl Rotation<'_> {
    async fn run(&self, tally: &mut Tally) -> Result<(), UpkeepError> {
        let place = Place { base: &self.base, now: self.now, cancel: self.cancel };
        let mut found = select::find(self.pattern, &self.base);
        let mut back = false;
        for (dir, left) in std::mem::take(&mut found.leftovers) {
            match batch::recover(&place, &dir, &left) {
                Ok(came_back) => {
                    tally.recovered += 1;
                    back |= came_back;
                }
                Err(error) => tally.not_recovered(&self.pattern.base.join(dir), &error),
            }
        }
        if back {
            found = select::find(self.pattern, &self.base);
        }
        tally.left_alone(self.pattern, &found);
        let packed = std::mem::take(&mut found.packed);
        let mut sorted = self.sort(found.logs, tally)?;
        if let Some(live) = self.request.live.as_ref().filter(|_| !sorted.live.is_empty()) {
            let docker_host = self.request.docker_host;
            let (now, cancel, events) = (self.now, self.cancel, self.events);
            let yard = Yard { base: &self.base, path: &self.pattern.base, now, docker_host, cancel, events };
            let rotated = yard.rotate(live, std::mem::take(&mut sorted.live)).await?;
            sorted.pack.extend(rotated.released.iter().cloned());
            tally.rotated(self.pattern, live, rotated);
        }
        tally.young += sorted.young;
        tally.held(self.pattern, sorted.held);
        self.pack(sorted.pack, tally).await?;
        self.delete(packed, tally)
    }

    /// Old or rotated ones that nobody has open are packed; who is written to is rotated, where that is wanted.
    fn sort(&self, logs: Vec<Log>, tally: &mut Tally) -> Result<Sorted, UpkeepError> {
        let wanted: BTreeSet<Identity> = logs.iter().map(|log| log.facts.identity).collect();
        let held = holders::held(&wanted).map_err(|source| reading(self.pattern, source))?;
        let mut sorted = Sorted::default();
        if held.unseen > 0 {
            tally.blind(self.pattern, held.unseen, logs.len());
            return Ok(sorted);
        }
        let mut by: BTreeMap<Identity, BTreeSet<i32>> = held.by;
        for log in logs {
            let rotated = names::unstamped(&log.name).is_some();
            let old = self.is_older(&log, self.request.compress_after);
            match by.remove(&log.facts.identity) {
                None if old || rotated => sorted.pack.push(log),
                None => sorted.young += 1,
                Some(by) => match &self.request.live {
                    Some(live) if rotated || log.facts.size >= live.at_least.max(1) => sorted.live.push((log, by)),
                    Some(_) => sorted.young += 1,
                    None if old || rotated => sorted.held.push((log, by)),
                    None => sorted.young += 1,
                },
            }
        }
        Ok(sorted)
    }

    fn is_older(&self, log: &Log, than: Duration) -> bool {
        let now = i128::from(self.now.timestamp()) * 1_000_000_000 + i128::from(self.now.timestamp_subsec_nanos());
        let age = now - log.facts.mtime_ns;
        u128::try_from(age).is_ok_and(|age| age > than.as_nanos())
    }

    async fn pack(&self, mut logs: Vec<Log>, tally: &mut Tally) -> Result<(), UpkeepError> {
        logs.sort_by(|a, b| (&a.dir, &a.name).cmp(&(&b.dir, &b.name)));
        let total: u64 = logs.iter().map(|log| log.facts.size).sum();
        let mut done = 0;
        for some in batch::batches(&logs) {
            if some.is_empty() {
                continue;
            }
            let doing = format!("packing {} logs below {}", logs.len(), self.pattern.base.display());
            self.events.progress(done, Some(total), doing);
            let (base, now, cancel) = (Arc::clone(&self.base), self.now, self.cancel.clone());
            let own = some.to_vec();
            let work = move || batch::replace(&Place { base: &base, now, cancel: &cancel }, &own);
            let became = tokio::task::spawn_blocking(work).await;
            let became = became.map_err(std::io::Error::other).and_then(|became| became);
            let became = became.map_err(|source| reading(self.pattern, source))?;
            if self.cancel.is_cancelled() {
                return Err(UpkeepError::Interrupted);
            }
            for (log, became) in some.iter().zip(became) {
                done += log.facts.size;
                match became {
                    Became::Packed(bytes) => tally.packed(log.facts.size, bytes),
                    Became::StillWritten(by) => tally.held(self.pattern, vec![(log.clone(), by)]),
                    Became::Failed(error) => tally.failed(self.pattern, log, &error),
                }
            }
        }
        Ok(())
    }

    fn delete(&self, packed: Vec<Log>, tally: &mut Tally) -> Result<(), UpkeepError> {
        let Some(after) = self.request.delete_after else { return Ok(()) };
        let old: Vec<Log> = packed.into_iter().filter(|log| self.is_older(log, after)).collect();
        let mut open: Option<(PathBuf, Dir, Ground)> = None;
        for log in &old {
            if self.cancel.is_cancelled() {
                return Err(UpkeepError::Interrupted);
            }
            let removed = (|| {
                if open.as_ref().is_none_or(|(dir, ..)| *dir != log.dir) {
                    let dir = select::open(&self.base, &log.dir)?;
                    let ground = Ground::of(&dir)?;
                    open = Some((log.dir.clone(), dir, ground));
                }
                let Some((_, dir, ground)) = &open else { return Ok(()) };
                // The name may have gone to another file since it was listed.
                if tree::facts(Some(dir), &log.name)?.identity != log.facts.identity {
                    return Err(std::io::Error::other("another file has its name now"));
                }
                ground.unlink(&log.name)
            })();
            match removed {
                Ok(()) => tally.deleted(log.facts.size),
                Err(error) => tally.failed(self.pattern, log, &error),
            }
        }
        Ok(())
    }
}
