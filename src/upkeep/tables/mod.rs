//! VACUUM and ANALYZE, table by table: each has its own result, proved by the server's own count.
//!
//! A locked table makes nobody wait: it is skipped, and tried again at the end, when it may take as long as the lock
//! timeout. VACUUM of somebody else's table ends without an error (PostgreSQL 15: a WARNING), so only the counters tell.

mod verdict;
mod watch;
mod work;

pub(super) use work::execute;

use std::{collections::VecDeque, time::Duration};

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{Done, UpkeepError};
use crate::{
    adapters::{
        clock,
        postgres::{
            Endpoint, PostgresError, Session,
            upkeep::{self, Upkept, Worker},
        },
    },
    model::{
        event::StepEvents,
        stack::{Docker, PostgresServer},
    },
};
use work::{Board, Pass};

/// How long an older server's statistics collector may take to hear of what was done.
const COUNTED_WITHIN: Duration = Duration::from_secs(3);
/// More sessions than this would only keep each other waiting for the disk.
pub const MOST_JOBS: u32 = 32;

/// What to do with the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// `VACUUM`, with statistics where `analyze`.
    Vacuum {
        /// Whether statistics are made too.
        analyze: bool,
    },
    /// `ANALYZE` of tables that were not analysed since then.
    Analyze {
        /// `None`: of every table.
        since: Option<DateTime<Utc>>,
    },
}

/// What to do to which database.
pub struct TablesRequest<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, where the server runs in a container.
    pub docker: &'a Docker,
    /// The database.
    pub database: &'a str,
    /// What to do.
    pub work: Work,
    /// How many tables at once.
    pub jobs: u32,
    /// How long a table's lock is waited for.
    pub lock_timeout: Duration,
    /// `schema.table` of tables to leave alone.
    pub exclude: &'a [String],
}

/// Does the work; what could not be done is among the findings.
///
/// # Errors
/// When the server cannot be reached or is lost, or the run is stopped.
pub async fn maintain(
    request: &TablesRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Done, UpkeepError> {
    let begun = clock::monotonic();
    let endpoint = Endpoint::resolve(request.server, request.docker).await?;
    let watcher = Session::open(endpoint.clone(), request.database, "maint watch", request.lock_timeout).await?;
    let mut todo = upkeep::tables(&watcher).await?;
    todo.retain(|table| !request.exclude.contains(&table.name.to_string()));
    let oids: Vec<u32> = todo.iter().map(|table| table.oid).collect();
    let before = upkeep::counters(&watcher, &oids).await?;
    let listed = todo.len();
    if let (Work::Analyze { since: Some(since) }, Some(before)) = (request.work, &before) {
        let last = |table: &Upkept| before.get(&table.oid).and_then(|counters| counters.last_analysed);
        todo.retain(|table| table.oid != verdict::PG_STATISTIC && last(table).is_none_or(|at| at < since));
    }
    let workers = open_workers(request, &endpoint, todo.len()).await?;
    let board = Board::new(request.work, &todo);
    let stage = Stage { workers: &workers, board: &board, watcher: &watcher, cancel, events };
    let locked = stage.pass(todo.clone().into(), Pass::SkipLocked).await?;
    stage.pass(locked, Pass::Wait).await?;
    let results = board.take();
    let after = counted(&watcher, request.work, &results, before.as_ref()).await?;
    let judged = verdict::judge(&watcher, request, results, before.as_ref(), after.as_ref()).await?;
    for worker in workers {
        worker.session.close().await;
    }
    watcher.close().await;
    Ok(verdict::report(request, judged, listed, begun.elapsed()))
}

async fn open_workers(
    request: &TablesRequest<'_>,
    endpoint: &Endpoint,
    tables: usize,
) -> Result<Vec<Worker>, PostgresError> {
    let jobs = usize::try_from(request.jobs.clamp(1, MOST_JOBS)).unwrap_or(1).min(tables.max(1));
    let open = |_| upkeep::worker(endpoint, request.database, "maint upkeep", request.lock_timeout);
    futures_util::future::try_join_all((0..jobs).map(open)).await
}

/// The surroundings of a pass over the tables.
struct Stage<'a> {
    workers: &'a [Worker],
    board: &'a Board,
    watcher: &'a Session,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
}

impl Stage<'_> {
    /// Has every worker take tables until none is left; gives those that were locked.
    async fn pass(&self, tables: VecDeque<Upkept>, pass: Pass) -> Result<VecDeque<Upkept>, UpkeepError> {
        if tables.is_empty() {
            return Ok(tables);
        }
        self.board.fill(tables);
        let work = self.workers.iter().map(|worker| work::drain(worker, self.board, self.watcher, pass, self.cancel));
        let work = futures_util::future::try_join_all(work);
        tokio::select! {
            biased;
            done = work => done.map(drop)?,
            never = watch::watch(self.watcher, self.board, self.events) => match never {},
        }
        if self.cancel.is_cancelled() {
            return Err(UpkeepError::Interrupted);
        }
        Ok(self.board.locked())
    }
}

/// The counters after the work; servers before 15 learn of it a moment later.
async fn counted(
    watcher: &Session,
    work: Work,
    results: &[work::Tried],
    before: Option<&verdict::Count>,
) -> Result<Option<verdict::Count>, PostgresError> {
    let oids: Vec<u32> = results.iter().map(|tried| tried.table.oid).collect();
    let begun = clock::monotonic();
    loop {
        let after = upkeep::counters(watcher, &oids).await?;
        let waits = match (before, &after) {
            (Some(before), Some(after)) => {
                results.iter().any(|tried| tried.ended_well() && !verdict::moved(work, &tried.table, before, after))
            }
            _ => false,
        };
        if !waits || begun.elapsed() > COUNTED_WITHIN || results.iter().any(|tried| !tried.warnings.is_empty()) {
            return Ok(after);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
