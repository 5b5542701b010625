//! Indexes that cost and do not help, and indexes that would.

use super::{AdviceRequest, since};
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        tuning::{self, Traffic},
    },
    model::{
        contents::quoted,
        finding::{Finding, Unit},
        reports::advice::Area,
        units::{ByteSize, count},
    },
};

/// A foreign key of a smaller table needs no index: reading it whole is as fast.
const LEAST_ROWS: i64 = 1000;
/// A table is read whole often from so many times on …
const OFTEN: i64 = 100;
/// … of so many rows each.
const MANY_ROWS: i64 = 10_000;

fn unsigned(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

pub(super) async fn unused(
    request: &AdviceRequest<'_>,
    session: &Session,
    traffic: &Traffic,
) -> Result<Area, PostgresError> {
    const TITLE: &str = "Unused indexes";
    if request.now - traffic.since < request.least_history {
        let why = format!(
            "{}, of the {} that are needed: an index that only the month's end uses would seem unused",
            since(request, traffic),
            crate::model::units::age(request.least_history)
        );
        return Ok(Area::unknown(TITLE, why));
    }
    if traffic.in_recovery {
        return Ok(Area::unknown(TITLE, "the server is a standby: the primary's queries are counted there"));
    }
    let standbys = match traffic.standbys {
        0 => String::new(),
        n => format!("; ask its {} too, before it goes", count(unsigned(n), "standby")),
    };
    let finding = |index: &tuning::Unused| {
        let seen = format!(
            "no query used this index of {} ({}; {} wrote to it{standbys}). To make it again: {}",
            index.table,
            since(request, traffic),
            count(unsigned(index.writes), "row"),
            index.definition
        );
        Finding::warning(index.name.to_string(), seen)
            .value(index.bytes as f64, Unit::Bytes)
            .source("pg_stat_user_indexes: idx_scan = 0")
            .hint(format!("DROP INDEX CONCURRENTLY {};", index.name.quoted()))
    };
    let found = tuning::unused(session, request.least_index).await?;
    let looked = format!(
        "indexes of at least {} that no query used, that keep nothing unique and back no constraint; {}",
        ByteSize(request.least_index),
        since(request, traffic)
    );
    Ok(Area::new(TITLE, looked, found.iter().map(finding).collect()))
}

pub(super) async fn missing(session: &Session) -> Result<Area, PostgresError> {
    let finding = |key: &tuning::Unindexed| {
        let columns = key.columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
        let seen = format!(
            "the foreign key {} ({columns}) of {} ({}, {}) points to {} and has no index: a row that is changed or deleted \
             there reads the whole table ({} so far)",
            key.name,
            key.table,
            count(unsigned(key.rows), "row"),
            ByteSize(key.bytes),
            key.target,
            count(unsigned(key.changes), "row"),
        );
        Finding::warning(format!("{}.{}", key.table, key.name), seen)
            .value(key.bytes as f64, Unit::Bytes)
            .source("pg_constraint beside pg_index")
            .hint(format!("CREATE INDEX CONCURRENTLY ON {} ({columns});", key.table.quoted()))
    };
    let found = tuning::unindexed(session, LEAST_ROWS).await?;
    let looked = format!("foreign keys of tables with at least {}", count(unsigned(LEAST_ROWS), "row"));
    Ok(Area::new("Foreign keys without an index", looked, found.iter().map(finding).collect()))
}

pub(super) async fn scans(session: &Session, traffic: &Traffic) -> Result<Area, PostgresError> {
    let finding = |table: &tuning::Scanned| {
        let name = table.table.to_string();
        let seen = format!(
            "read whole {} ({} each time, {}), by an index {}",
            count(unsigned(table.scans), "time"),
            count(unsigned(table.rows), "row"),
            ByteSize(table.bytes),
            count(unsigned(table.by_index), "time"),
        );
        let hint = format!(
            "SELECT calls, mean_exec_time, query FROM pg_stat_statements WHERE query ILIKE '%{}%' ORDER BY total_exec_time DESC \
             LIMIT 5; then EXPLAIN (ANALYZE, BUFFERS) those, and index the columns that they filter by",
            table.table.name.replace('\'', "''")
        );
        Finding::warning(name, seen)
            .value(table.scans as f64, Unit::Count)
            .source("pg_stat_user_tables: seq_scan")
            .hint(hint)
    };
    let found = tuning::scanned(session, OFTEN, MANY_ROWS).await?;
    let looked = format!(
        "tables that were read whole at least {} since {}, {} or more each time, and more often than by an index",
        count(unsigned(OFTEN), "time"),
        traffic.since.format("%Y-%m-%d"),
        count(unsigned(MANY_ROWS), "row"),
    );
    Ok(Area::new("Tables that are read whole", looked, found.iter().map(finding).collect()))
}
