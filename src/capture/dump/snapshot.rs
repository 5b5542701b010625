//! The snapshot that a dump is taken in, and what the catalogue says in it.

use std::collections::{BTreeMap, BTreeSet};

use super::error::{DumpError, listed};
use crate::{
    adapters::postgres::{
        Endpoint, PostgresError, ServerState, Session,
        catalogue::{self, Obstacles, Table},
    },
    model::{
        contents::TableName,
        manifest::{PostgresFacts, ServerFacts},
    },
};

/// A session that only holds an exported snapshot, with the facts that were read in it.
pub(super) struct Snapshot {
    pub(super) session: Session,
    /// Its id for `pg_dump --snapshot`.
    pub(super) id: String,
    pub(super) state: ServerState,
    /// Tables whose data belongs to the dump.
    pub(super) tables: Vec<Table>,
    pub(super) large_objects: u64,
    /// Where each table's rows stood in the snapshot.
    files: BTreeMap<u32, u32>,
    pub(super) warnings: Vec<String>,
}

impl Snapshot {
    /// Opens the session, exports its snapshot and reads the catalogue in it.
    ///
    /// # Errors
    /// When the server does not answer, or the role may not read everything.
    pub(super) async fn take(session: Session) -> Result<Self, DumpError> {
        session.batch("beginning the snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        let row = session.one("exporting the snapshot", "SELECT pg_export_snapshot()", &[]).await?;
        let id = row.get(0);
        let state = session.state().await?;
        let mut tables = catalogue::dumped_tables(&session).await?;
        let (files, unlogged) = table_files(&session, &tables).await?;
        let mut warnings = Vec::new();
        if state.in_recovery && !unlogged.is_empty() {
            // A standby has no rows of unlogged tables, and pg_dump leaves them out there.
            let (left_out, kept) = tables.into_iter().partition(|table| unlogged.contains(&table.oid));
            tables = kept;
            let names: Vec<_> = Vec::<Table>::into_iter(left_out).map(|table| table.name).collect();
            warnings.push(format!("a standby has no rows of unlogged tables: {}", listed(&names)));
        }
        let large_objects = catalogue::large_objects(&session).await?;
        refuse_obstacles(&session, catalogue::obstacles(&session).await?)?;
        Ok(Self { session, id, state, tables, large_objects, files, warnings })
    }

    /// Bytes that the tables had when they were last vacuumed or analysed; for progress.
    pub(super) fn estimated_bytes(&self) -> Option<u64> {
        let sum = self.tables.iter().map(|table| table.estimated_bytes).sum();
        (sum > 0).then_some(sum)
    }

    /// Which tables are no longer stored where they were in the snapshot. Asked while `pg_dump` holds its locks, so
    /// that it tells what happened before them: a rewritten or truncated table looks empty in an older snapshot (manual
    /// §13.6), and the dump of it would be empty without an error.
    pub(super) async fn changed(&self, now: &Session) -> Result<Vec<TableName>, PostgresError> {
        let (files, _) = table_files(now, &self.tables).await?;
        let moved = |table: &&Table| self.files.get(&table.oid) != files.get(&table.oid);
        Ok(self.tables.iter().filter(moved).map(|table| table.name.clone()).collect())
    }

    /// The database as the snapshot has it, for the manifest.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(super) async fn facts(&self, database: &str) -> Result<PostgresFacts, PostgresError> {
        let state = &self.state;
        Ok(PostgresFacts {
            server: ServerFacts {
                server: self.session.endpoint().server.clone(),
                version: state.version.clone(),
                system_identifier: state.system_identifier.clone(),
                bootstrap_superuser: state.bootstrap_superuser.clone(),
                preload: state.preload.clone(),
            },
            database: database.to_owned(),
            snapshot: self.id.clone(),
            lsn: state.lsn.clone(),
            encoding: state.encoding.clone(),
            dump_encoding: dump_encoding(&state.encoding).to_owned(),
            createdb_options: createdb_options(&self.session, &state.encoding).await?,
            database_bytes: self.database_bytes().await?,
            session_settings: self.session_settings().await?,
        })
    }

    async fn database_bytes(&self) -> Result<u64, PostgresError> {
        const SQL: &str = "SELECT pg_database_size(current_database())";
        let row = self.session.one("asking the database's size", SQL, &[]).await?;
        Ok(u64::try_from(row.get::<_, i64>(0)).unwrap_or(0))
    }

    /// `pg_dump` leaves these as its role and database have them; `lc_monetary` matters only to values of money.
    async fn session_settings(&self) -> Result<BTreeMap<String, String>, PostgresError> {
        const SQL: &str = "SELECT name, setting FROM pg_settings WHERE name IN ('TimeZone', 'bytea_output') \
             OR (name = 'lc_monetary' AND EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
                 WHERE a.atttypid = 'money'::regtype AND c.oid >= 16384))";
        let rows = self.session.query("asking the session's settings", SQL, &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Compares the tables of a dump with the catalogue's.
    ///
    /// # Errors
    /// When one is missing, or one too many.
    pub(super) fn compare(
        &self,
        database: &str,
        found: &[(TableName, u64)],
        large_objects: u64,
    ) -> Result<(), DumpError> {
        let expected: BTreeSet<_> = self.tables.iter().map(|table| &table.name).collect();
        let found: BTreeSet<_> = found.iter().map(|(name, _)| name).collect();
        let names = |a: &BTreeSet<&TableName>, b| a.difference(b).map(|name| (*name).clone()).collect::<Vec<_>>();
        let (missing, extra) = (names(&expected, &found), names(&found, &expected));
        if !missing.is_empty() || !extra.is_empty() {
            return Err(DumpError::Tables { database: database.to_owned(), missing, extra });
        }
        if large_objects != self.large_objects {
            let expected = self.large_objects;
            return Err(DumpError::LargeObjects { database: database.to_owned(), expected, found: large_objects });
        }
        Ok(())
    }
}

/// The stored file of each table as `pg_class` has it in the session's snapshot, and which tables are unlogged.
async fn table_files(
    session: &Session,
    tables: &[Table],
) -> Result<(BTreeMap<u32, u32>, BTreeSet<u32>), PostgresError> {
    const SQL: &str = "SELECT oid, relfilenode, relpersistence = 'u' FROM pg_class WHERE oid = ANY ($1)";
    let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
    let rows = session.query("asking where tables are stored", SQL, &[&oids]).await?;
    let files = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let unlogged = rows.iter().filter(|row| row.get(2)).map(|row| row.get(0)).collect();
    Ok((files, unlogged))
}

/// UTF-8, but for databases without an encoding: their bytes are kept as they are (manual §24.3).
pub(in crate::capture) fn dump_encoding(encoding: &str) -> &'static str {
    if encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" }
}

/// What `createdb` must be told so that text is stored, sorted and compared as in the session's database.
async fn createdb_options(session: &Session, encoding: &str) -> Result<Vec<String>, PostgresError> {
    // Read as JSON, because the columns differ from version to version: 15 has ICU, 16 its rules, 17 one locale for all
    // providers.
    const SQL: &str = "SELECT d.datcollate::text, d.datctype::text, to_jsonb(d) ->> 'datlocprovider', \
         coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), to_jsonb(d) ->> 'daticurules', \
         t.spcname::text FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
         WHERE d.datname = current_database()";
    let row = session.one("asking the database's locale", SQL, &[]).await?;
    let (collate, ctype): (String, String) = (row.get(0), row.get(1));
    let (provider, locale): (Option<String>, Option<String>) = (row.get(2), row.get(3));
    let (rules, tablespace): (Option<String>, String) = (row.get(4), row.get(5));
    let mut options = vec![
        "--template=template0".to_owned(),
        format!("--encoding={encoding}"),
        format!("--lc-collate={collate}"),
        format!("--lc-ctype={ctype}"),
    ];
    if let (Some("i" | "b"), Some(locale)) = (provider.as_deref(), locale) {
        let provider = if provider.as_deref() == Some("i") { "icu" } else { "builtin" };
        options.push(format!("--locale-provider={provider}"));
        options.push(format!("--{provider}-locale={locale}"));
    }
    options.extend(rules.map(|rules| format!("--icu-rules={rules}")));
    if tablespace != "pg_default" {
        options.push(format!("--tablespace={tablespace}"));
    }
    Ok(options)
}

pub(super) fn refuse_obstacles(session: &Session, obstacles: Obstacles) -> Result<(), DumpError> {
    let Endpoint { user, .. } = session.endpoint();
    let (database, role) = (session.database().to_owned(), user.clone());
    let tables: Vec<_> = obstacles.unreadable_tables.into_iter().map(|unreadable| unreadable.table).collect();
    let mut missing = Vec::new();
    if !tables.is_empty() {
        missing.push(format!("no SELECT on {}", listed(&tables)));
    }
    if !obstacles.unreadable_sequences.is_empty() {
        missing.push(format!("no SELECT on the sequences {}", listed(&obstacles.unreadable_sequences)));
    }
    if obstacles.unreadable_large_objects > 0 {
        missing.push(format!("no SELECT on {} large objects", obstacles.unreadable_large_objects));
    }
    if !missing.is_empty() {
        return Err(DumpError::Unreadable { database, role, missing });
    }
    if !obstacles.row_security.is_empty() {
        return Err(DumpError::RowSecurity { database, role, tables: obstacles.row_security });
    }
    Ok(())
}
