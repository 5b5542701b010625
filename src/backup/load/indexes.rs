//! Indexes and unique constraints, several at once.
//!
//! `CREATE INDEX` statements depend on nothing but their table, and the server builds several of one table at once.
//! Constraints lock their table, so one table's stay together in their order.

use std::{
    collections::{HashMap, VecDeque},
    sync::Mutex,
};

use futures_util::future::try_join_all;

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

/// Statements of one kind that follow each other in the dump.
#[derive(Default)]
pub(super) struct Batch {
    constraints: bool,
    statements: Vec<(TableName, SqlStatement)>,
}

impl Batch {
    /// Whether a statement of this kind may join what is there.
    pub(super) fn takes(&self, kind: &Kind) -> bool {
        match kind {
            Kind::Index(_) => self.statements.is_empty() || !self.constraints,
            Kind::Unique(_) => self.statements.is_empty() || self.constraints,
            _ => false,
        }
    }

    /// Adds a statement; `false` when it is of another kind.
    pub(super) fn add(&mut self, kind: Kind, statement: SqlStatement) -> bool {
        let (Kind::Index(table) | Kind::Unique(table)) = &kind else { return false };
        self.constraints = matches!(kind, Kind::Unique(_));
        self.statements.push((table.clone(), statement));
        true
    }

    /// Rows of statements that one connection executes in order, those on the largest tables first.
    fn lanes(self, source: &Source) -> VecDeque<Vec<SqlStatement>> {
        let sizes: HashMap<_, _> = source.tables.iter().map(|t| (&t.table, t.bytes)).collect();
        let mut lanes: Vec<(TableName, Vec<SqlStatement>)> = Vec::new();
        let mut at = HashMap::new();
        for (table, statement) in self.statements {
            let lane = if self.constraints { *at.entry(table.clone()).or_insert(lanes.len()) } else { lanes.len() };
            match lanes.get_mut(lane) {
                Some((_, lane)) => lane.push(statement),
                None => lanes.push((table, vec![statement])),
            }
        }
        lanes.sort_by_key(|(table, _)| std::cmp::Reverse(sizes.get(table).copied().unwrap_or(0)));
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
    let count = batch.statements.len() as u64;
    let lanes = batch.lanes(source);
    if lanes.is_empty() {
        return Ok(0);
    }
    connections.widen(lanes.len()).await?;
    let (lanes, again) = (Mutex::new(lanes), Mutex::new(Vec::new()));
    try_join_all(connections.all().map(|session| work(session, &lanes, &again, meter))).await?;
    for statement in lock(&again).drain(..).collect::<Vec<_>>() {
        execute(&connections.main, &statement).await?;
    }
    Ok(count)
}

async fn work(
    session: &Session,
    lanes: &Mutex<VecDeque<Vec<SqlStatement>>>,
    again: &Mutex<Vec<SqlStatement>>,
    meter: &Meter<'_>,
) -> Result<(), LoadError> {
    loop {
        let Some(lane) = lock(lanes).pop_front() else { return Ok(()) };
        let mut lane = lane.into_iter();
        while let Some(statement) = lane.next() {
            meter.add(0, &beginning(&statement.text));
            match execute(session, &statement).await {
                // A partitioned table's constraint locks its partitions too: it waits until the others are done.
                Err(LoadError::Postgres(PostgresError::Query { code, .. })) if code == "40P01" => {
                    lock(again).extend(std::iter::once(statement).chain(lane.by_ref()));
                }
                other => other?,
            }
        }
    }
}
