//! Why a dump failed, with the object and what to do.

use crate::{
    adapters::{docker::DockerError, postgres::PostgresError, process::ProcessEnd, process::ProcessError},
    model::{
        contents::TableName,
        failure::{Class, Diagnose},
    },
    stream::{StreamError, dump::DumpSyntax},
};

/// A dump that was not made. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error(transparent)]
    Docker(#[from] DockerError),
    #[error("{role} may not read all of database {database}: {}", missing.join("; "))]
    Unreadable { database: String, role: String, missing: Vec<String> },
    #[error("row-level security would hide rows of database {database} from {role}: {}", listed(tables))]
    RowSecurity { database: String, role: String, tables: Vec<TableName> },
    #[error("`pg_dump` of database {database} {end}{}", said(stderr))]
    Failed { database: String, end: ProcessEnd, stderr: String, retry: bool },
    #[error(
        "the dump of database {database} was given up: {user} (pid {pid}) waited {waited:.1} s for it with: {statement}"
    )]
    Blocking { database: String, pid: i32, user: String, statement: String, waited: f64 },
    #[error("the dump of database {database} was given up: nobody could watch whom it keeps waiting")]
    Unwatched { database: String, source: Box<PostgresError> },
    #[error("tables of database {database} were rewritten or dropped while its dump began: {}", listed(tables))]
    Changed { database: String, tables: Vec<TableName> },
    #[error("the dump of database {database} holds other tables than its catalogue: {}", difference(missing, extra))]
    Tables { database: String, missing: Vec<TableName>, extra: Vec<TableName> },
    #[error("the dump of database {database} holds {found} large objects, its catalogue {expected}")]
    LargeObjects { database: String, expected: u64, found: u64 },
    #[error(
        "the dump of database {database} has {dumped} rows of {table}; the server counts {counted} in the same snapshot"
    )]
    Counted { database: String, table: TableName, dumped: u64, counted: u64 },
    #[error("the dump of database {database} cannot be used")]
    Syntax { database: String, source: DumpSyntax },
    #[error("`pg_dump` in container {container} has version {tool}, older than the server's {server}")]
    ToolTooOld { container: String, tool: String, server: String },
    #[error("there is no server {server} in maint.toml")]
    UnknownServer { server: String },
    #[error("the pattern of databases to exclude: {0}")]
    Pattern(String),
    #[error("{server} has no database to dump")]
    NothingToDump { server: String },
    #[error("the dump of database {database} was stopped")]
    Cancelled { database: String },
    #[error("the thread that reads the dump of database {database} ended early")]
    Thread { database: String },
}

/// Names of tables, the first few of many.
pub(super) fn listed(tables: &[TableName]) -> String {
    const SHOWN: usize = 10;
    let mut text = tables.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if tables.len() > SHOWN {
        text.push_str(&format!(" and {} more", tables.len() - SHOWN));
    }
    text
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {}", stderr.trim_end()) }
}

fn difference(missing: &[TableName], extra: &[TableName]) -> String {
    let mut parts = Vec::new();
    if !missing.is_empty() {
        parts.push(format!("missing: {}", listed(missing)));
    }
    if !extra.is_empty() {
        parts.push(format!("unknown to the catalogue: {}", listed(extra)));
    }
    parts.join("; ")
}

impl Diagnose for DumpError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
            Self::Postgres(PostgresError::ToolTooOld { .. } | PostgresError::NoTool { .. }) => Class::Usage,
            Self::Postgres(e) => e.class(),
            Self::Process(e) => e.class(),
            Self::Docker(e) => e.class(),
            Self::ToolTooOld { .. } | Self::UnknownServer { .. } | Self::Pattern(_) => Class::Usage,
            Self::Blocking { .. } | Self::Unwatched { .. } | Self::Changed { .. } => Class::Retryable,
            Self::Failed { retry: true, .. } => Class::Retryable,
            Self::Cancelled { .. } => Class::Interrupted,
            Self::Failed { .. }
            | Self::Unreadable { .. }
            | Self::RowSecurity { .. }
            | Self::Tables { .. }
            | Self::LargeObjects { .. }
            | Self::Counted { .. }
            | Self::Syntax { .. }
            | Self::NothingToDump { .. }
            | Self::Thread { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Stream(e) => return e.hint(),
            Self::Postgres(e) => return e.hint(),
            Self::Process(e) => return e.hint(),
            Self::Docker(e) => return e.hint(),
            Self::Unreadable { role, .. } => {
                format!("GRANT pg_read_all_data TO \"{role}\" (PostgreSQL 14 on), or dump as a superuser")
            }
            Self::RowSecurity { role, .. } => {
                format!("ALTER ROLE \"{role}\" BYPASSRLS, or dump as a superuser: a dump must hold every row")
            }
            Self::Failed { retry: true, .. } => "see the server's log; the step can be run again".into(),
            Self::Blocking { .. } => {
                "run the dump when nobody alters tables, or raise lock_timeout of this server in maint.toml".into()
            }
            Self::Changed { .. } | Self::Unwatched { .. } => "run the step again".into(),
            Self::ToolTooOld { container, .. } => {
                format!("update the image of {container}, or use tools of the host: leave out `container`")
            }
            _ => return None,
        })
    }
}
