//! Rebuilds the indexes that are mostly air, beside running queries, and mends what a rebuild has left behind.
//!
//! `REINDEX CONCURRENTLY` waits for every older transaction of the database, and one that gives up leaves an invalid index
//! that costs every writer. So who is in the way is looked for before, named, and nothing invalid is left after.

mod leftovers;
mod rebuild;
mod space;

use std::{collections::BTreeSet, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Done, UpkeepError};
use crate::{
    adapters::{
        clock,
        postgres::{
            Endpoint, PostgresError, Session,
            upkeep::{self, Estimated, Worker},
        },
    },
    model::{
        bloat::Bloat,
        contents::TableName,
        event::StepEvents,
        finding::Finding,
        stack::{Docker, PostgresServer},
        units::{ByteSize, Elapsed, count},
    },
};

/// The share of changed rows, in percent, from which on statistics are no ground for a rebuild.
const STALE_PERCENT: f64 = 20.0;

/// Which indexes to rebuild, and how patiently.
pub struct IndexesRequest<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, where the server runs in a container.
    pub docker: &'a Docker,
    /// The database.
    pub database: &'a str,
    /// The share of air from which on an index is rebuilt, in percent.
    pub min_bloat: f64,
    /// The size from which on an index is rebuilt, in bytes.
    pub min_size: u64,
    /// `schema.index` of indexes to leave alone.
    pub exclude: &'a [String],
    /// How long each lock is waited for.
    pub lock_timeout: Duration,
    /// The age from which on a transaction is not waited for by a rebuild that has begun.
    pub old_transaction: Duration,
    /// How long old transactions are waited for before a rebuild begins, in all.
    pub patience: Duration,
    /// Whether the disk must be seen to have room.
    pub check_space: bool,
}

/// Mends, rebuilds, and says what is left.
///
/// # Errors
/// When the server cannot be reached or is lost, or the run is stopped.
pub async fn maintain(
    request: &IndexesRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Done, UpkeepError> {
    let begun = clock::monotonic();
    let endpoint = Endpoint::resolve(request.server, request.docker).await?;
    let watcher = Session::open(endpoint.clone(), request.database, "maint watch", request.lock_timeout).await?;
    let worker = upkeep::worker(&endpoint, request.database, "maint upkeep", request.lock_timeout).await?;
    let mut stage = Stage { request, worker: &worker, watcher: &watcher, cancel, events, patience: request.patience };
    let mut tally = Tally::default();
    let again = leftovers::repair(&stage, &mut tally).await?;
    let due = stage.due(&again, &mut tally).await?;
    let total: u64 = due.iter().map(|(index, _)| index.bytes).sum();
    let mut done = 0;
    for (index, bloat) in &due {
        stage.events.progress(done, Some(total), index.name.to_string());
        stage.one(index, *bloat, (done, total), &mut tally).await?;
        done += index.bytes;
    }
    worker.session.close().await;
    watcher.close().await;
    Ok(tally.report(request.database, begun.elapsed()))
}

/// What came of it.
#[derive(Default)]
struct Tally {
    findings: Vec<Finding>,
    looked_at: usize,
    rebuilt: usize,
    mended: usize,
    undone: usize,
    given_back: u64,
}

impl Tally {
    fn undone(&mut self, finding: Finding) {
        self.undone += 1;
        self.findings.push(finding);
    }

    fn report(mut self, database: &str, took: Duration) -> Done {
        let indexes = |n: usize| count(u64::try_from(n).unwrap_or(u64::MAX), "index").replace("indexs", "indexes");
        let mut summary = match self.rebuilt {
            0 => format!("no index of {database} rebuilt"),
            n => format!("{} of {database} rebuilt, {} given back", indexes(n), ByteSize(self.given_back)),
        };
        if self.mended > 0 {
            summary += &format!("; {} of an earlier rebuild removed", indexes(self.mended));
        }
        if self.undone > 0 {
            summary += &format!("; {} not done", self.undone);
        }
        summary += &format!("; {} looked at, in {}", self.looked_at, Elapsed(took));
        self.findings.insert(0, Finding::good(format!("{database} indexes"), &summary));
        Done { summary, findings: self.findings, changed: self.rebuilt + self.mended > 0 }
    }
}

/// The surroundings of the work.
struct Stage<'a> {
    request: &'a IndexesRequest<'a>,
    worker: &'a Worker,
    watcher: &'a Session,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    /// How long old transactions may still be waited for.
    patience: Duration,
}

impl Stage<'_> {
    /// The indexes to rebuild, those first that give back most.
    async fn due(
        &self,
        again: &BTreeSet<TableName>,
        tally: &mut Tally,
    ) -> Result<Vec<(Estimated, Option<Bloat>)>, PostgresError> {
        let at_least = if again.is_empty() { self.request.min_size } else { 0 };
        let mut due = Vec::new();
        for index in upkeep::estimated_indexes(self.watcher, at_least).await? {
            let bloat = index.facts.of_index();
            let asked_again = again.contains(&index.name);
            if index.bytes < self.request.min_size && !asked_again {
                continue;
            }
            tally.looked_at += 1;
            let airy = bloat.is_some_and(|bloat| bloat.percent > self.request.min_bloat);
            if self.request.exclude.contains(&index.name.to_string()) || !(airy || asked_again) {
                continue;
            }
            match self.objection(&index, bloat) {
                Some(finding) if !asked_again => tally.findings.push(finding),
                _ => due.push((index, bloat)),
            }
        }
        let gain = |bloat: &Option<Bloat>| bloat.map_or(0.0, |bloat| bloat.bytes);
        due.sort_by(|a, b| gain(&b.1).total_cmp(&gain(&a.1)));
        Ok(due)
    }

    /// What somebody types to have that done.
    fn psql(&self, statements: &[&str]) -> String {
        self.request.server.psql(self.request.database, statements)
    }

    /// Why an index that looks bloated is not to be rebuilt.
    fn objection(&self, index: &Estimated, bloat: Option<Bloat>) -> Option<Finding> {
        let air = bloat.map_or(0.0, |bloat| bloat.percent);
        let seen = |why: &str| format!("{}, about {air:.0} % of it air, not rebuilt: {why}", ByteSize(index.bytes));
        let name = index.name.to_string();
        let reindex = format!("REINDEX INDEX {}", index.name.quoted());
        if index.system {
            let why = "a system catalogue's index cannot be rebuilt beside running queries";
            return Some(
                Finding::warning(name, seen(why))
                    .hint(format!("in a quiet hour, for it locks the catalogue: {}", self.psql(&[&reindex]))),
            );
        }
        if index.exclusion {
            let why = "an exclusion constraint's index cannot be rebuilt beside running queries";
            return Some(
                Finding::warning(name, seen(why))
                    .hint(format!("in a quiet hour, for it locks the table: {}", self.psql(&[&reindex]))),
            );
        }
        if index.changed > STALE_PERCENT {
            let why = format!("{:.0} % of the rows changed since the statistics were made", index.changed);
            return Some(
                Finding::warning(name, seen(&why)).hint("let an `analyze` or `vacuum` step run before this one"),
            );
        }
        None
    }

    /// One index, or why not.
    async fn one(
        &mut self,
        index: &Estimated,
        bloat: Option<Bloat>,
        progress: (u64, u64),
        tally: &mut Tally,
    ) -> Result<(), UpkeepError> {
        if let Some(finding) = space::lacking(self, index).await? {
            tally.undone(finding);
            return Ok(());
        }
        if let Some(finding) = self.in_the_way(index, progress).await? {
            tally.undone(finding);
            return Ok(());
        }
        rebuild::rebuild(self, index, bloat, progress, tally).await
    }

    /// Waits, as long as there is patience, until no old transaction would keep the rebuild waiting; else says whose.
    async fn in_the_way(&mut self, index: &Estimated, progress: (u64, u64)) -> Result<Option<Finding>, UpkeepError> {
        let begun = clock::monotonic();
        loop {
            let mut old = upkeep::long_transactions(self.watcher, self.request.old_transaction).await?;
            old.extend(upkeep::prepared_transactions(self.watcher, index.table.1).await?);
            let waited = begun.elapsed();
            let Some(first) = old.first() else {
                self.patience = self.patience.saturating_sub(waited);
                return Ok(None);
            };
            let doing = format!("{}: waiting {} for {first}", index.name, Elapsed(waited));
            self.events.progress(progress.0, Some(progress.1), doing);
            if waited >= self.patience {
                self.patience = Duration::ZERO;
                let more = if old.len() > 1 { format!(" and {} more", old.len() - 1) } else { String::new() };
                let seen = format!("not rebuilt: waited {} for {first}{more}", Elapsed(waited));
                let hint = format!("look at what it does, and end it if it may go: {}", self.psql(&[&first.remedy()]));
                return Ok(Some(Finding::critical(index.name.to_string(), seen).hint(hint)));
            }
            let pause = Duration::from_millis(500).min(self.patience.saturating_sub(waited));
            tokio::select! {
                () = tokio::time::sleep(pause.max(Duration::from_millis(10))) => {}
                () = self.cancel.cancelled() => return Err(UpkeepError::Interrupted),
            }
        }
    }
}
