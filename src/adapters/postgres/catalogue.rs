//! What a dump needs to know from the catalogue, asked independently of `pg_dump`.
//!
//! The rules of what `pg_dump` takes are those of its `getTables`, `selectDumpableTable` and
//! `processExtensionTables` (src/bin/pg_dump/pg_dump.c), told in SQL that servers from 12 on understand.

use std::collections::BTreeMap;

use super::{PostgresError, Session};
use crate::model::contents::{SequenceValue, TableName};

/// A database of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `datname`.
    pub name: String,
    /// Whether anybody may connect at all.
    pub allows_connections: bool,
    /// Whether it is a template.
    pub template: bool,
    /// Whether the session's role may connect.
    pub connect: bool,
    /// A `DROP DATABASE` that did not end (`datconnlimit = -2`): only dropping it again helps.
    pub invalid: bool,
}

/// A table whose data belongs to a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name, unquoted.
    pub name: TableName,
    /// `pg_class.oid`.
    pub oid: u32,
    /// Where its rows are stored; another number later means that it was rewritten or truncated.
    pub relfilenode: u32,
    /// Its size when it was last vacuumed or analysed, in bytes: good for progress only.
    pub estimated_bytes: u64,
    /// Of an extension's configuration table: which rows belong to the dump; empty for all
    /// (`pg_extension.extcondition`).
    pub extension_condition: Option<String>,
}

/// What keeps the session's role from dumping its database. Everything empty: nothing does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obstacles {
    /// Tables and partitioned tables without SELECT, or whose schema lacks USAGE.
    pub unreadable_tables: Vec<Unreadable>,
    /// Sequences without SELECT.
    pub unreadable_sequences: Vec<TableName>,
    /// Tables whose row-level security would hide rows from the role; `pg_dump` refuses them.
    pub row_security: Vec<TableName>,
    /// Large objects without SELECT: how many.
    pub unreadable_large_objects: u64,
}

impl Obstacles {
    /// Whether nothing stands in the way.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A table that the role cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Which.
    pub table: TableName,
    /// Some of its columns were granted; a dump needs the table.
    pub columns_only: bool,
    /// The schema's USAGE is what is missing.
    pub schema: bool,
    /// The extension that it belongs to.
    pub extension: Option<String>,
}

/// A session that waits for a lock that another one holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocked {
    /// Its backend.
    pub pid: i32,
    /// Its role.
    pub user: String,
    /// Its `application_name`.
    pub application: String,
    /// What it wants to do; "<insufficient privilege>" where the role may not see it.
    pub statement: String,
    /// How long it has been waiting, in seconds.
    pub waiting: f64,
}

/// Schemas that `pg_dump` looks into.
const SCHEMAS: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
/// The extension of `c`, where it belongs to one; extensions that every database has are none.
const EXTENSION: &str = "LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid \
     AND d.objsubid = 0 AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' \
     LEFT JOIN pg_extension e ON e.oid = d.refobjid";

fn table_name(row: &tokio_postgres::Row) -> TableName {
    TableName { schema: row.get(0), name: row.get(1) }
}

/// Every database of the server, by name.
///
/// # Errors
/// When the connection is lost.
pub async fn databases(session: &Session) -> Result<Vec<Database>, PostgresError> {
    const SQL: &str = "SELECT datname::text, datallowconn, datistemplate, \
         has_database_privilege(oid, 'CONNECT'), datconnlimit = -2 FROM pg_database ORDER BY datname COLLATE \"C\"";
    let rows = session.query("listing the databases", SQL, &[]).await?;
    let database = |row: &tokio_postgres::Row| Database {
        name: row.get(0),
        allows_connections: row.get(1),
        template: row.get(2),
        connect: row.get(3),
        invalid: row.get(4),
    };
    Ok(rows.iter().map(database).collect())
}

/// Every table whose data `pg_dump` dumps, by name: ordinary tables and partitions (unlogged ones too) outside of
/// extensions, and the configuration tables of extensions. Partitioned tables have no data of their own; foreign
/// tables' and materialized views' data is not dumped.
///
/// # Errors
/// When the connection is lost.
pub async fn dumped_tables(session: &Session) -> Result<Vec<Table>, PostgresError> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, c.oid, coalesce(pg_relation_filenode(c.oid), 0::oid), \
         c.relpages::int8 * current_setting('block_size')::int8, cfg.condition \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {EXTENSION} \
         LEFT JOIN LATERAL (SELECT e.extcondition[array_position(e.extconfig, c.oid)] AS condition \
             WHERE c.oid = ANY (e.extconfig) AND e.oid >= 16384) cfg ON true \
         WHERE c.relkind = 'r' AND c.relpersistence <> 't' \
         AND (cfg.condition IS NOT NULL OR (e.oid IS NULL AND {SCHEMAS})) \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""
    );
    let rows = session.query("listing the tables", &sql, &[]).await?;
    let table = |row: &tokio_postgres::Row| Table {
        name: table_name(row),
        oid: row.get(2),
        relfilenode: row.get(3),
        estimated_bytes: u64::try_from(row.get::<_, i64>(4)).unwrap_or(0),
        extension_condition: row.get(5),
    };
    Ok(rows.iter().map(table).collect())
}

/// Value and increment of every sequence whose value `pg_dump` dumps: outside of extensions, and their configuration.
///
/// # Errors
/// When the connection is lost.
pub async fn sequences(session: &Session) -> Result<BTreeMap<TableName, (SequenceValue, i64)>, PostgresError> {
    /// The server plans a question to each; many at once save the way, too many its memory.
    const AT_ONCE: usize = 100;
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, s.seqincrement FROM pg_class c JOIN pg_sequence s ON s.seqrelid = c.oid \
         JOIN pg_namespace n ON n.oid = c.relnamespace {EXTENSION} WHERE c.relkind = 'S' AND c.relpersistence <> 't' \
         AND ((e.oid IS NULL AND {SCHEMAS}) OR c.oid = ANY (e.extconfig))"
    );
    let rows = session.query("listing the sequences", &sql, &[]).await?;
    let names: Vec<(TableName, i64)> = rows.iter().map(|row| (table_name(row), row.get(2))).collect();
    let mut values = BTreeMap::new();
    for some in names.chunks(AT_ONCE) {
        let one = |(at, (name, _)): (usize, &(TableName, i64))| {
            format!("SELECT {at}::int8, last_value, is_called FROM {}", name.quoted())
        };
        let sql = some.iter().enumerate().map(one).collect::<Vec<_>>().join(" UNION ALL ");
        for row in session.query("asking the sequences' values", &sql, &[]).await? {
            let found = usize::try_from(row.get::<_, i64>(0)).ok().and_then(|at| some.get(at));
            if let Some((name, increment)) = found {
                let value = SequenceValue { last_value: row.get(1), is_called: row.get(2) };
                values.insert(name.clone(), (value, *increment));
            }
        }
    }
    Ok(values)
}

/// The names of the server's roles, but for its own (`pg_…`).
///
/// # Errors
/// When the connection is lost.
pub async fn roles(session: &Session) -> Result<Vec<String>, PostgresError> {
    const SQL: &str = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname COLLATE \"C\"";
    Ok(session.query("listing the roles", SQL, &[]).await?.iter().map(|row| row.get(0)).collect())
}

/// How many large objects the database has.
///
/// # Errors
/// When the connection is lost.
pub async fn large_objects(session: &Session) -> Result<u64, PostgresError> {
    let row = session.one("counting the large objects", "SELECT count(*) FROM pg_largeobject_metadata", &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// What keeps the session's role from dumping the session's database.
///
/// # Errors
/// When the connection is lost.
pub async fn obstacles(session: &Session) -> Result<Obstacles, PostgresError> {
    Ok(Obstacles {
        unreadable_tables: unreadable_tables(session).await?,
        unreadable_sequences: unreadable_sequences(session).await?,
        row_security: row_security(session).await?,
        unreadable_large_objects: unreadable_large_objects(session).await?,
    })
}

/// `pg_dump` locks every table that it looks at, partitioned ones and those of extensions included, and that needs
/// SELECT on the table itself.
async fn unreadable_tables(session: &Session) -> Result<Vec<Unreadable>, PostgresError> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, has_any_column_privilege(c.oid, 'SELECT'), \
         NOT has_schema_privilege(n.oid, 'USAGE'), e.extname::text \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace {EXTENSION} \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {SCHEMAS} \
         AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')) \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""
    );
    let rows = session.query("checking the privileges on tables", &sql, &[]).await?;
    let unreadable = |row: &tokio_postgres::Row| Unreadable {
        table: table_name(row),
        columns_only: row.get(2),
        schema: row.get(3),
        extension: row.get(4),
    };
    Ok(rows.iter().map(unreadable).collect())
}

async fn unreadable_sequences(session: &Session) -> Result<Vec<TableName>, PostgresError> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         {EXTENSION} WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {SCHEMAS} \
         AND (e.oid IS NULL OR c.oid = ANY (e.extconfig)) \
         AND NOT (has_sequence_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')) \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""
    );
    let rows = session.query("checking the privileges on sequences", &sql, &[]).await?;
    Ok(rows.iter().map(table_name).collect())
}

async fn row_security(session: &Session) -> Result<Vec<TableName>, PostgresError> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'r' AND c.relrowsecurity AND {SCHEMAS} AND row_security_active(c.oid) \
         ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\""
    );
    let rows = session.query("checking row-level security", &sql, &[]).await?;
    Ok(rows.iter().map(table_name).collect())
}

/// There is no `has_largeobject_privilege` before PostgreSQL 18, so the ACL is read: the owner's role, a grant to a
/// role of ours or to everybody, or a server that does not check (`lo_compat_privileges`).
async fn unreadable_large_objects(session: &Session) -> Result<u64, PostgresError> {
    const SQL: &str = "SELECT count(*) FROM pg_largeobject_metadata m \
         WHERE NOT current_setting('lo_compat_privileges')::bool \
         AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) \
         AND NOT pg_has_role(m.lomowner, 'USAGE') \
         AND NOT EXISTS (SELECT FROM aclexplode(m.lomacl) a WHERE a.privilege_type = 'SELECT' \
             AND (a.grantee = 0 OR pg_has_role(a.grantee, 'USAGE')))";
    const SQL_18: &str = "SELECT count(*) FROM pg_largeobject_metadata m \
         WHERE NOT has_largeobject_privilege(m.oid, 'SELECT')";
    let newer = session
        .one("asking for the version", "SELECT current_setting('server_version_num')::int4 >= 180000", &[])
        .await?;
    let sql = if newer.get(0) { SQL_18 } else { SQL };
    let row = session.one("checking the privileges on large objects", sql, &[]).await?;
    Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
}

/// The backends of client programs that connected under this `application_name`.
///
/// # Errors
/// When the connection is lost.
pub async fn backends(session: &Session, application_name: &str) -> Result<Vec<i32>, PostgresError> {
    const SQL: &str = "SELECT pid FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid";
    session.batch("looking for the dump's session", "SELECT pg_stat_clear_snapshot()").await?;
    let rows = session.query("looking for the dump's session", SQL, &[&application_name]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Sessions that wait for a lock that one of these backends holds, the longest wait first.
///
/// # Errors
/// When the connection is lost.
pub async fn blocked_by(session: &Session, pids: &[i32]) -> Result<Vec<Blocked>, PostgresError> {
    // Everybody may read pg_locks; what others do in pg_stat_activity is hidden from a plain role. `waitstart` is there
    // from 14 on; before, the statement's start is the next best.
    const SQL: &str = "SELECT w.pid, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), \
         coalesce(a.query, ''), extract(epoch FROM clock_timestamp() - coalesce(w.since, a.query_start))::float8 AS s \
         FROM (SELECT pid, min((to_jsonb(l) ->> 'waitstart')::timestamptz) AS since \
             FROM pg_locks l WHERE NOT granted GROUP BY pid) w LEFT JOIN pg_stat_activity a USING (pid) \
         WHERE w.pid <> ALL ($1) AND pg_blocking_pids(w.pid) && $1 ORDER BY s DESC NULLS LAST";
    // In a transaction the first look at the sessions is the one that stays (manual 28.2.2).
    session.batch("looking for blocked sessions", "SELECT pg_stat_clear_snapshot()").await?;
    let rows = session.query("looking for blocked sessions", SQL, &[&pids]).await?;
    let blocked = |row: &tokio_postgres::Row| Blocked {
        pid: row.get(0),
        user: row.get(1),
        application: row.get(2),
        statement: row.get(3),
        waiting: row.get::<_, Option<f64>>(4).unwrap_or(0.0),
    };
    Ok(rows.iter().map(blocked).collect())
}
