//! Indexes: which are invalid, and what became of one.

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::TableName,
};

/// An index as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Index {
    /// `pg_class.oid`: a rebuild gives another one to the name.
    pub oid: u32,
    /// Whether queries use it.
    pub valid: bool,
    /// Its bytes.
    pub bytes: u64,
}

/// An index that queries do not use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidIndex {
    /// Its name.
    pub name: TableName,
    /// `pg_class.oid`.
    pub oid: u32,
    /// The table.
    pub table: (TableName, u32),
    /// A valid index of the same table that is made alike; what `REINDEX CONCURRENTLY` leaves behind always has one.
    pub twin: Option<TableName>,
    /// What makes it, for whoever has to make it again.
    pub definition: String,
    /// Whether somebody is at work on the table's indexes just now: it may become valid.
    pub at_work: bool,
}

/// Every invalid index of the database, by oid. Those of partitioned tables are left out: they are valid when each of their
/// partitions has one.
///
/// # Errors
/// When the connection is lost.
pub async fn invalid_indexes(session: &Session) -> Result<Vec<InvalidIndex>, PostgresError> {
    // Whoever builds holds ShareUpdateExclusive on the table, or Share where it is not done concurrently.
    const SQL: &str = "SELECT n.nspname::text, c.relname::text, c.oid, tn.nspname::text, t.relname::text, t.oid, \
         coalesce(pg_get_indexdef(c.oid), ''), \
         EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = t.oid AND p.datname = current_database()) \
         OR EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'relation' AND l.relation IN (t.oid, c.oid) \
             AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND l.granted AND l.pid <> pg_backend_pid() AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', \
             'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')), tw.schema, tw.name \
         FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace \
         LEFT JOIN LATERAL (SELECT jn.nspname::text AS schema, jc.relname::text AS name FROM pg_index j \
             JOIN pg_class jc ON jc.oid = j.indexrelid JOIN pg_namespace jn ON jn.oid = jc.relnamespace \
             WHERE j.indrelid = i.indrelid AND j.indisvalid AND jc.relam = c.relam \
             AND j.indkey::text = i.indkey::text AND j.indclass::text = i.indclass::text \
             AND j.indoption::text = i.indoption::text AND j.indisunique = i.indisunique \
             AND pg_get_expr(j.indexprs, j.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indexprs, i.indrelid) \
             AND pg_get_expr(j.indpred, j.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indpred, i.indrelid) \
             ORDER BY left(c.relname, length(jc.relname)) = jc.relname DESC, jc.oid LIMIT 1) tw ON true \
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relpersistence <> 't' ORDER BY c.oid";
    let rows = session.query("looking for invalid indexes", SQL, &[]).await?;
    let invalid = |row: &tokio_postgres::Row| InvalidIndex {
        name: TableName { schema: row.get(0), name: row.get(1) },
        oid: row.get(2),
        table: (TableName { schema: row.get(3), name: row.get(4) }, row.get(5)),
        definition: row.get(6),
        at_work: row.get(7),
        twin: row.get::<_, Option<String>>(8).map(|schema| TableName { schema, name: row.get(9) }),
    };
    Ok(rows.iter().map(invalid).collect())
}

/// What stands under an index's name now; `None`: nothing.
///
/// # Errors
/// When the connection is lost, or the index is locked.
pub async fn index_after(session: &Session, name: &TableName) -> Result<Option<Index>, PostgresError> {
    const SQL: &str = "SELECT c.oid, i.indisvalid, coalesce(pg_relation_size(c.oid), 0) FROM pg_index i \
         JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE n.nspname = $1 AND c.relname = $2";
    let rows = session.query("looking at an index", SQL, &[&name.schema, &name.name]).await?;
    Ok(rows.first().map(|row| Index {
        oid: row.get(0),
        valid: row.get(1),
        bytes: u64::try_from(row.get::<_, i64>(2)).unwrap_or(0),
    }))
}
