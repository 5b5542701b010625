//! Why a dump could not be loaded or compared: it is to blame, or the surroundings are.

use std::path::PathBuf;

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::{
        contents::TableName,
        failure::{Class, Diagnose},
    },
    stream::{
        StreamError,
        dump::{DumpSyntax, SqlStatement},
    },
};

/// As much of a statement as an error shows.
const SHOWN: usize = 100;

/// A load or a comparison that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("{}", path.display())]
    Syntax { path: PathBuf, source: DumpSyntax },
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error("{database} does not restore: {statement} (near byte {offset}): {message}")]
    Refused { database: String, statement: String, offset: u64, message: String },
    #[error("{database} does not restore: the rows of {table}: {message}")]
    RowsRefused { database: String, table: TableName, message: String },
    #[error("{database} does not restore: {table} took {found} rows of {expected}")]
    RowsLost { database: String, table: TableName, expected: u64, found: u64 },
    #[error("the server lacks what {database} needs: {statement}: {message}")]
    Lacking { database: String, statement: String, message: String },
    #[error("the server has no room for {database}: {what}: {message}")]
    Full { database: String, what: String, message: String },
    #[error("the server has these roles already: {}", roles.join(", "))]
    RolesExist { roles: Vec<String> },
    #[error("the restore of {what} was stopped")]
    Cancelled { what: String },
    #[error("the thread that reads {} ended early", path.display())]
    Thread { path: PathBuf },
}

impl Diagnose for LoadError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(StreamError::File(_)) | Self::Postgres(_) => Class::Unverifiable,
            Self::Stream(e) => e.class(),
            Self::Syntax { .. } | Self::Refused { .. } | Self::RowsRefused { .. } | Self::RowsLost { .. } => {
                Class::Verification
            }
            Self::Lacking { .. } | Self::Full { .. } | Self::Thread { .. } => Class::Unverifiable,
            Self::RolesExist { .. } => Class::Failed,
            Self::Cancelled { .. } => Class::Interrupted,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Stream(e) => return e.hint(),
            Self::Postgres(e) => return e.hint(),
            Self::Lacking { .. } => {
                "install the packages of the source server's extensions on the host of this server".into()
            }
            Self::Full { .. } => "make room where this server keeps its data, or raise its limits".into(),
            Self::RolesExist { .. } => "drop or rename them first, or keep them as they are".into(),
            _ => return None,
        })
    }
}

/// Whose fault a server's refusal is.
enum Blame {
    Connection,
    Room,
    Lacking,
    Dump,
}

/// By SQLSTATE (manual, appendix A). `CREATE EXTENSION` says with 0A000 or 58P01 that the host does not have it.
fn blame(error: &PostgresError, creates_extension: bool) -> Blame {
    match error {
        PostgresError::Query { code, .. } if code.len() != 5 => Blame::Connection,
        PostgresError::Query { code, .. } if code.starts_with("53") => Blame::Room,
        PostgresError::Query { code, .. } if code == "58P01" || (creates_extension && code == "0A000") => {
            Blame::Lacking
        }
        // A deadlock, an operator's interruption, a broken server: not the dump's fault.
        PostgresError::Query { code, .. } if ["40", "57", "58", "XX"].contains(&&code[..2]) => Blame::Connection,
        PostgresError::Query { .. } | PostgresError::Denied { .. } | PostgresError::LockTimeout { .. } => Blame::Dump,
        _ => Blame::Connection,
    }
}

/// The server's words without what maint said around them.
fn words(error: PostgresError) -> String {
    match error {
        PostgresError::Query { message, .. }
        | PostgresError::Denied { message, .. }
        | PostgresError::LockTimeout { message, .. } => message,
        other => other.to_string(),
    }
}

/// The beginning of a statement up to its first literal, which may be a secret.
pub(super) fn beginning(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let shown: String = text.chars().take_while(|c| *c != '\'').take(SHOWN).collect();
    let cut = shown.len() < text.len();
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    if cut { format!("{shown} …") } else { shown }
}

impl LoadError {
    /// The server refused a statement, or could not be asked.
    pub(super) fn statement(session: &Session, statement: &SqlStatement, error: &tokio_postgres::Error) -> Self {
        let database = session.database().to_owned();
        let shown = beginning(&statement.text);
        let error = session.error(&format!("restoring {database}: {shown}"), error);
        match blame(&error, statement.text.starts_with(b"CREATE EXTENSION ")) {
            Blame::Connection => Self::Postgres(error),
            Blame::Room => Self::Full { database, what: shown, message: words(error) },
            Blame::Lacking => Self::Lacking { database, statement: shown, message: words(error) },
            Blame::Dump => {
                Self::Refused { database, statement: shown, offset: statement.offset, message: words(error) }
            }
        }
    }

    /// The server refused a table's rows, or could not be asked.
    pub(super) fn rows(session: &Session, table: &TableName, error: &tokio_postgres::Error) -> Self {
        let database = session.database().to_owned();
        let error = session.error(&format!("restoring the rows of {table}"), error);
        match blame(&error, false) {
            Blame::Connection => Self::Postgres(error),
            Blame::Room => Self::Full { database, what: format!("the rows of {table}"), message: words(error) },
            Blame::Lacking => {
                Self::Lacking { database, statement: format!("the rows of {table}"), message: words(error) }
            }
            Blame::Dump => Self::RowsRefused { database, table: table.clone(), message: words(error) },
        }
    }

    /// Whether the dump itself was refused, so that another order may help.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::RowsRefused { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_shown_without_its_literals() {
        assert_eq!(beginning(b"ALTER ROLE app\n WITH PASSWORD 'geheim'"), "ALTER ROLE app WITH PASSWORD …");
        assert_eq!(beginning(b"CREATE TABLE a (b int)"), "CREATE TABLE a (b int)");
        assert_eq!(beginning("ä".repeat(200).as_bytes()), format!("{} …", "ä".repeat(100)));
    }
}
