//! Indexes and unique constraints, several at once.
//!
//! `CREATE INDEX` statements depend on nothing but their table, and the server builds several of one table at once.
//! Constraints lock their table, so one table's stay together in their order, and its indexes come after them.

use std::{
    cmp::Reverse,
    collections::{HashMap, VecDeque},
    pin::pin,
    sync::Mutex,
};

use futures_util::future::try_join_all;
use tokio::sync::Notify;

use super::{
    LoadError,
    connections::{Connections, execute},
    error::beginning,
    lock,
    rows::Meter,
    source::Source,
};
use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::TableName,
    stream::dump::{SqlStatement, kind::Kind},
};

/// Statements that follow each other in the dump: constraints, then indexes.
#[derive(Default)]
pub(super) struct Batch {
    constraints: Vec<(TableName, SqlStatement)>,
    indexes: Vec<(TableName, SqlStatement)>,
}

/// What one connection executes in order; and what may be done by any of them afterwards.
#[derive(Default)]
struct Lane {
    statements: Vec<SqlStatement>,
    then: Vec<SqlStatement>,
}

/// The lanes that wait, and how many are being worked at.
struct Work {
    lanes: VecDeque<Lane>,
    busy: usize,
}

struct Shared<'a> {
    work: Mutex<Work>,
    changed: Notify,
    /// Statements that got in each other's way.
    again: Mutex<Vec<SqlStatement>>,
    meter: &'a Meter<'a>,
}

impl Batch {
    /// Whether a statement of this kind may join what is there.
    pub(super) fn takes(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Index(_) => true,
            Kind::Unique(_) => self.indexes.is_empty(),
            _ => false,
        }
    }

    /// Adds an index.
    pub(super) fn index(&mut self, table: TableName, statement: SqlStatement) {
        self.indexes.push((table, statement));
    }

    /// Adds a constraint.
    pub(super) fn constraint(&mut self, table: TableName, statement: SqlStatement) {
        self.constraints.push((table, statement));
    }

    fn len(&self) -> usize {
        self.constraints.len() + self.indexes.len()
    }

    /// Those on the largest tables first.
    fn lanes(self, source: &Source) -> VecDeque<Lane> {
        let sizes: HashMap<_, _> = source.tables.iter().map(|t| (&t.table, t.bytes)).collect();
        let mut of_table: HashMap<TableName, Lane> = HashMap::new();
        let mut lanes = Vec::new();
        for (table, statement) in self.constraints {
            of_table.entry(table).or_default().statements.push(statement);
        }
        for (table, statement) in self.indexes {
            match of_table.get_mut(&table) {
                Some(lane) => lane.then.push(statement),
                None => lanes.push((table, Lane { statements: vec![statement], then: Vec::new() })),
            }
        }
        lanes.extend(of_table);
        lanes.sort_by_key(|(table, lane)| {
            (Reverse(sizes.get(table).copied().unwrap_or(0)), lane.statements.first().map(|s| s.offset))
        });
        lanes.into_iter().map(|(_, lane)| lane).collect()
    }
}

/// Executes a batch; gives how many statements that were.
pub(super) async fn build(
    connections: &mut Connections<'_>,
    batch: Batch,
    source: &Source,
    meter: &Meter<'_>,
) -> Result<u64, LoadError> {
    let count = batch.len();
    if count == 0 {
        return Ok(0);
    }
    connections.widen(count).await?;
    let work = Mutex::new(Work { lanes: batch.lanes(source), busy: 0 });
    let shared = Shared { work, changed: Notify::new(), again: Mutex::default(), meter };
    try_join_all(connections.all().map(|session| worker(session, &shared))).await?;
    let again = std::mem::take(&mut *lock(&shared.again));
    for statement in again {
        execute(&connections.main, &statement).await?;
    }
    Ok(count as u64)
}

async fn worker(session: &Session, shared: &Shared<'_>) -> Result<(), LoadError> {
    while let Some(lane) = next(shared).await {
        let mut statements = lane.statements.into_iter();
        while let Some(statement) = statements.next() {
            shared.meter.add(0, &beginning(&statement.text));
            match execute(session, &statement).await {
                // A partitioned table's constraint locks its partitions too: it waits until the others are done.
                Err(LoadError::Postgres(PostgresError::Query { code, .. })) if code == "40P01" => {
                    lock(&shared.again).extend(std::iter::once(statement).chain(statements.by_ref()));
                }
                other => other?,
            }
        }
        let mut work = lock(&shared.work);
        work.busy -= 1;
        for statement in lane.then.into_iter().rev() {
            work.lanes.push_front(Lane { statements: vec![statement], then: Vec::new() });
        }
        drop(work);
        shared.changed.notify_waiters();
    }
    Ok(())
}

/// The next lane; none once nothing waits and nobody is at work, who could add to it.
async fn next(shared: &Shared<'_>) -> Option<Lane> {
    loop {
        let mut changed = pin!(shared.changed.notified());
        // What changes from now on is heard.
        changed.as_mut().enable();
        {
            let mut work = lock(&shared.work);
            if let Some(lane) = work.lanes.pop_front() {
                work.busy += 1;
                return Some(lane);
            }
            if work.busy == 0 {
                return None;
            }
        }
        changed.await;
    }
}
