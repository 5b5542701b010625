//! Reads a database back and compares it with what was captured: every table's rows, every large object.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::StreamExt;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

use super::{
    LoadError, LoadOptions, Progress, connections, large_objects, lock,
    source::{self, blocking},
};
use crate::{
    adapters::{
        clock,
        postgres::{Endpoint, PostgresError, Session, catalogue},
    },
    model::contents::{self, ContentsKind, TableDigest, TableLine, TableName},
    stream::dump::RowDigester,
};

/// The settings under which `pg_dump` reads (`setup_connection` in pg_dump.c).
const SETTINGS: &str = "SET search_path = ''; SET DateStyle = ISO; SET IntervalStyle = postgres; \
     SET extra_float_digits = 3; SET synchronize_seqscans = off; SET lock_timeout = 0; SET row_security = off; \
     SET default_transaction_read_only = on";
/// Differences that are told one by one.
const MOST_TOLD: usize = 50;

/// What was compared, and what differs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Tables that were read.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// Large objects that were read.
    pub large_objects: u64,
    /// What differs, one sentence each, sorted; empty: nothing.
    pub differences: Vec<String>,
}

/// What the workers share.
pub(super) struct Shared {
    pub(super) contents: PathBuf,
    tables: Mutex<VecDeque<(Arc<TableLine>, Option<String>)>>,
    differences: Mutex<Vec<String>>,
    untold: AtomicU64,
    counts: [AtomicU64; 3],
    told: mpsc::UnboundedSender<(u64, String)>,
}

impl Shared {
    pub(super) fn differs(&self, difference: String) {
        let mut differences = lock(&self.differences);
        if differences.len() < MOST_TOLD {
            differences.push(difference);
        } else {
            self.untold.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_large_object(&self) {
        self.counts[2].fetch_add(1, Ordering::Relaxed);
    }

    fn finish(&self) -> Compared {
        let mut differences = std::mem::take(&mut *lock(&self.differences));
        differences.sort();
        let untold = self.untold.load(Ordering::Relaxed);
        if untold > 0 {
            differences.push(format!("and {untold} more"));
        }
        let [tables, rows, large_objects] = [0, 1, 2].map(|at| self.counts[at].load(Ordering::Relaxed));
        Compared { tables, rows, large_objects, differences }
    }
}

/// Compares a database with the contents list of a dump: its tables' rows and its large objects.
///
/// # Errors
/// When it cannot be read, the list is damaged, or it was stopped. Differences are no error.
pub async fn compare(
    options: &LoadOptions<'_>,
    contents: &Path,
    cancel: &CancellationToken,
    progress: Progress<'_>,
) -> Result<Compared, LoadError> {
    let application = format!("maint compare {}", clock::run_id());
    let compared = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(LoadError::Cancelled { what: options.dbname.to_owned() }),
        compared = run(options, contents, &application, progress) => compared,
    };
    if compared.is_err() {
        connections::end_all(options, &application).await;
    }
    compared
}

async fn run(
    options: &LoadOptions<'_>,
    contents: &Path,
    application: &str,
    progress: Progress<'_>,
) -> Result<Compared, LoadError> {
    let path = contents.to_owned();
    let tables = blocking(contents, move || source::tables(&path, ContentsKind::PostgresDump)).await??;
    let total = tables.iter().filter(|table| options.wants(&table.table)).map(|table| table.bytes).sum();
    let (told, mut telling) = mpsc::unbounded_channel();
    let endpoint = Endpoint::resolve(options.server, options.docker).await?;
    let session = connect(options, &endpoint, application).await?;
    let (tables, differences) = match_up(&session, tables, options).await?;
    let shared = Arc::new(Shared {
        contents: contents.to_owned(),
        tables: Mutex::new(tables),
        differences: Mutex::default(),
        untold: AtomicU64::new(0),
        counts: Default::default(),
        told,
    });
    differences.into_iter().for_each(|difference| shared.differs(difference));
    let listed = large_objects::listed(&shared, options.only.is_none());
    let objects = Arc::new(tokio::sync::Mutex::new(listed.objects));
    let mut workers = JoinSet::new();
    let mut sessions = vec![session];
    while sessions.len() < options.jobs {
        sessions.push(connect(options, &endpoint, application).await?);
    }
    for session in sessions {
        let (shared, objects) = (shared.clone(), objects.clone());
        workers.spawn(async move {
            tables_of(&session, &shared).await?;
            large_objects::compare(&session, &shared, &objects).await?;
            Ok::<_, LoadError>(session)
        });
    }
    let (mut done, mut last) = (0, None);
    loop {
        tokio::select! {
            Some((bytes, what)) = telling.recv() => {
                done += bytes;
                progress(done, total, &what);
            }
            ended = workers.join_next() => match ended {
                Some(session) => {
                    let thread = |_| LoadError::Thread { path: contents.to_owned() };
                    last = Some(session.map_err(thread)??);
                }
                None => break,
            },
        }
    }
    drop(objects);
    let oids = listed.oids.await.map_err(|_| LoadError::Thread { path: contents.to_owned() })??;
    if let Some(session) = last {
        large_objects::others(&session, &oids, &shared).await?;
        session.close().await;
    }
    Ok(shared.finish())
}

async fn connect(options: &LoadOptions<'_>, endpoint: &Endpoint, application: &str) -> Result<Session, LoadError> {
    let session = Session::open(endpoint.clone(), options.dbname, application, options.server.lock_timeout).await?;
    session.batch("setting up the session", SETTINGS).await?;
    connections::settings(&session, options).await?;
    // As the capture does: what is stored without an encoding is read as it is.
    let encoding = session.one("asking for the encoding", "SELECT current_setting('server_encoding')", &[]).await?;
    if encoding.get::<_, &str>(0) == "SQL_ASCII" {
        session.batch("setting the encoding", "SET client_encoding = 'SQL_ASCII'").await?;
    }
    Ok(session)
}

/// The tables that are to be read with their conditions, the largest first; and what is missing or too many. A table whose
/// rows are not wanted must be empty, but for what its extension put there.
async fn match_up(
    session: &Session,
    mut tables: Vec<Arc<TableLine>>,
    options: &LoadOptions<'_>,
) -> Result<(VecDeque<(Arc<TableLine>, Option<String>)>, Vec<String>), PostgresError> {
    let there = catalogue::dumped_tables(session).await?;
    let mut there: HashMap<TableName, Option<String>> =
        there.into_iter().map(|table| (table.name, table.extension_condition)).collect();
    let listed: HashSet<_> = tables.iter().map(|table| table.table.clone()).collect();
    let mut differences: Vec<_> =
        listed.iter().filter(|n| !there.contains_key(n)).map(|n| format!("{n} is missing")).collect();
    let others = there.keys().filter(|name| !listed.contains(name));
    differences.extend(others.map(|name| format!("{name} is there, but was not captured")));
    tables.sort_by_key(|table| std::cmp::Reverse(table.bytes));
    let queue = tables.into_iter().filter_map(|table| {
        let condition = there.remove(&table.table)?;
        if options.wants(&table.table) {
            return Some((table, condition));
        }
        let empty = TableLine { content: TableDigest { rows: 0, digest: 0 }, bytes: 0, ..TableLine::clone(&table) };
        condition.is_none().then(|| (Arc::new(empty), condition))
    });
    Ok((queue.collect(), differences))
}

async fn tables_of(session: &Session, shared: &Shared) -> Result<(), LoadError> {
    loop {
        let Some((table, condition)) = lock(&shared.tables).pop_front() else { return Ok(()) };
        let name = &table.table;
        match digest(session, &table, condition.as_deref()).await {
            Ok(found) => {
                if let Some(difference) = difference(&table, found) {
                    shared.differs(difference);
                }
                shared.counts[0].fetch_add(1, Ordering::Relaxed);
                shared.counts[1].fetch_add(found.map_or(0, |found| found.rows), Ordering::Relaxed);
            }
            // A column is not there, or is of another kind: the table is not the one that was captured.
            Err(e)
                if e.code()
                    .is_some_and(|code| code.code().starts_with("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE) =>
            {
                let said = e.as_db_error().map_or_else(String::new, |e| e.message().to_owned());
                shared.differs(format!("{name} cannot be read as it was captured: {said}"));
            }
            Err(e) => return Err(session.error(&format!("reading {name}"), &e).into()),
        }
        // Nobody listens any more: then nobody wants to know.
        let _ = shared.told.send((table.bytes, name.to_string()));
    }
}

/// Reads a table as `pg_dump` does.
async fn digest(
    session: &Session,
    table: &TableLine,
    condition: Option<&str>,
) -> Result<Option<TableDigest>, tokio_postgres::Error> {
    let sql = match condition {
        Some(condition) if !condition.is_empty() => {
            let columns: Vec<_> = table.columns.iter().map(|column| contents::quoted(column)).collect();
            format!("COPY (SELECT {} FROM {} {condition}) TO STDOUT", columns.join(", "), table.table.quoted())
        }
        _ => format!("COPY {} TO STDOUT", table.copy_target()),
    };
    let mut rows = pin!(session.client().copy_out(&sql).await?);
    let mut digester = RowDigester::default();
    while let Some(piece) = rows.next().await {
        digester.feed(&piece?);
    }
    Ok(digester.finish())
}

fn difference(table: &TableLine, found: Option<TableDigest>) -> Option<String> {
    let name = &table.table;
    match found {
        Some(found) if found == table.content => None,
        Some(found) if found.rows != table.content.rows => {
            Some(format!("{name} has {} rows instead of {}", found.rows, table.content.rows))
        }
        _ => Some(format!("the rows of {name} are not those that were captured")),
    }
}
