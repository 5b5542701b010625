//! Workers that take one table after the other from a board.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::Work;
use crate::{
    adapters::{
        clock,
        postgres::{
            PostgresError, Session,
            upkeep::{self, Holder, Upkept, Worker},
        },
    },
    model::failure::chain,
    upkeep::UpkeepError,
};

/// How long a cancelled statement may take to end.
const CANCELLED_WITHIN: Duration = Duration::from_secs(10);

/// How a pass treats a locked table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Leaves it for later.
    SkipLocked,
    /// Waits up to the lock timeout.
    Wait,
}

/// How the work on a table ended, by the server's word; the counters have the last one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum End {
    /// Without an error.
    Well,
    /// Its lock was not to be had; who holds it.
    Locked(Vec<Holder>),
    /// With an error.
    Refused(String),
    /// It was dropped meanwhile.
    Gone,
}

/// A table that was tried.
#[derive(Debug, Clone)]
pub(super) struct Tried {
    pub(super) table: Upkept,
    pub(super) end: End,
    /// What the server warned of.
    pub(super) warnings: Vec<String>,
    pub(super) took: Duration,
}

impl Tried {
    pub(super) fn ended_well(&self) -> bool {
        self.end == End::Well
    }
}

/// A table that a worker is at.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) table: Upkept,
    pub(super) since: Instant,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Upkept>,
    running: BTreeMap<i32, Running>,
    tried: BTreeMap<u32, Tried>,
    locked: VecDeque<Upkept>,
    done_bytes: u64,
}

/// What is to be done, under way and done.
#[derive(Debug)]
pub(super) struct Board {
    work: Work,
    total_bytes: u64,
    state: Mutex<State>,
}

/// How far the work is.
pub(super) struct Standing {
    pub(super) done_bytes: u64,
    pub(super) total_bytes: u64,
    pub(super) running: BTreeMap<i32, Running>,
}

impl Board {
    pub(super) fn new(work: Work, tables: &[Upkept]) -> Self {
        Self { work, total_bytes: tables.iter().map(weight).sum(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock; and if it did, the numbers would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn fill(&self, tables: VecDeque<Upkept>) {
        self.state().queue = tables;
    }

    /// The tables that were locked, once.
    pub(super) fn locked(&self) -> VecDeque<Upkept> {
        std::mem::take(&mut self.state().locked)
    }

    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        Standing { done_bytes: state.done_bytes, total_bytes: self.total_bytes, running: state.running.clone() }
    }

    /// What was tried, in the order of the tables' ids.
    pub(super) fn take(&self) -> Vec<Tried> {
        std::mem::take(&mut self.state().tried).into_values().collect()
    }

    fn next(&self, pid: i32) -> Option<Running> {
        let mut state = self.state();
        let table = state.queue.pop_front()?;
        let running = Running { table, since: clock::monotonic() };
        state.running.insert(pid, running.clone());
        Some(running)
    }

    fn ended(&self, pid: i32, tried: Tried, later: bool) {
        let mut state = self.state();
        state.running.remove(&pid);
        if later {
            state.locked.push_back(tried.table.clone());
        } else {
            state.done_bytes += weight(&tried.table);
        }
        state.tried.insert(tried.table.oid, tried);
    }
}

/// What a table counts for in the progress: also an empty one takes its time.
pub(super) fn weight(table: &Upkept) -> u64 {
    table.bytes + 8192
}

/// Takes tables until none is left.
pub(super) async fn drain(
    worker: &Worker,
    board: &Board,
    watcher: &Session,
    pass: Pass,
    cancel: &CancellationToken,
) -> Result<(), UpkeepError> {
    while !cancel.is_cancelled() {
        let Some(Running { table, since }) = board.next(worker.pid) else { return Ok(()) };
        worker.session.take_notices();
        let end = execute(worker, &statement(board.work, &table, pass), cancel).await;
        let notices = worker.session.take_notices();
        let warnings: Vec<String> = notices.into_iter().filter(|n| n.warning).map(|n| n.message).collect();
        let end = match end {
            Ok(()) => End::Well,
            Err(UpkeepError::Postgres(PostgresError::LockTimeout { .. })) => {
                End::Locked(upkeep::holders(watcher, table.oid).await?)
            }
            Err(UpkeepError::Postgres(error)) if !worker.session.is_closed() => {
                let gone = !upkeep::table_exists(watcher, table.oid).await?;
                if gone { End::Gone } else { End::Refused(chain(&error)) }
            }
            Err(other) => return Err(other),
        };
        // A table that was skipped tells so only by a warning, as one does that may not be vacuumed: it gets another
        // try, which waits, and is then judged by the counters.
        let skipped = end == End::Well && !warnings.is_empty() || matches!(end, End::Locked(_));
        let later = pass == Pass::SkipLocked && skipped;
        board.ended(worker.pid, Tried { table, end, warnings, took: since.elapsed() }, later);
    }
    Ok(())
}

fn statement(work: Work, table: &Upkept, pass: Pass) -> String {
    let name = table.name.quoted();
    let skip = pass == Pass::SkipLocked;
    match (work, skip) {
        (Work::Vacuum { analyze }, _) if !table.partitioned => {
            let options = [analyze.then_some("ANALYZE"), skip.then_some("SKIP_LOCKED")];
            let options = options.into_iter().flatten().collect::<Vec<_>>().join(", ");
            if options.is_empty() { format!("VACUUM {name}") } else { format!("VACUUM ({options}) {name}") }
        }
        (_, true) => format!("ANALYZE (SKIP_LOCKED) {name}"),
        (_, false) => format!("ANALYZE {name}"),
    }
}

/// Executes one statement by itself; one that is cancelled is ended on the server too.
pub(crate) async fn execute(worker: &Worker, sql: &str, cancel: &CancellationToken) -> Result<(), UpkeepError> {
    let statement = worker.session.batch(sql, sql);
    tokio::pin!(statement);
    tokio::select! {
        ended = &mut statement => {
            if ended.is_err() {
                let_go(worker).await;
            }
            return Ok(ended?);
        }
        () = cancel.cancelled() => {}
    }
    worker.session.cancel_statement().await?;
    // It may have ended well in the same moment; the run was stopped all the same.
    let _ = tokio::time::timeout(CANCELLED_WITHIN, statement).await;
    let_go(worker).await;
    Err(UpkeepError::Interrupted)
}

/// An error is told before the server has let go of the locks: whoever looks at once would take the session for one at work.
async fn let_go(worker: &Worker) {
    // A session that is lost holds no locks for long, and its next statement says so.
    let _ = tokio::time::timeout(CANCELLED_WITHIN, worker.session.batch("waiting for the locks", "SELECT")).await;
}
