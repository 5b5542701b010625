//! Why a database was not restored. What was there before is as it was.

use std::path::PathBuf;

use super::BeforeError;
use crate::{
    adapters::postgres::PostgresError,
    backup::{load::LoadError, objects::CompareError, verify::VerifyError},
    model::failure::{Class, Diagnose},
    stream::StreamError,
};

/// A database that was not restored.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error("the database {name} is there already")]
    Exists { name: String },
    #[error("there is no database {name} to replace")]
    NothingToReplace { name: String },
    #[error("the set comes from PostgreSQL {source_version}; this server has {found}, which is older")]
    Older { source_version: String, found: String },
    #[error("the server lacks roles that the dump names: {}", roles.join(", "))]
    MissingRoles { roles: Vec<String>, in_set: bool },
    #[error("the database cannot be made as it was")]
    Create { source: PostgresError },
    #[error("what was restored is not what was captured: {}", listed(differences))]
    Differs { differences: Vec<String> },
    #[error("{name} could not be replaced: its sessions come back faster than they can be ended")]
    Busy { name: String, source: PostgresError },
    #[error("the thread that reads {} ended early", path.display())]
    Thread { path: PathBuf },
    #[error("{name} was to be dumped before it is replaced, and could not be; nothing was changed")]
    Before { name: String, source: Box<BeforeError> },
    #[error("{error}; a verified dump of what {name} held stands in {}", dump.display())]
    AfterDump { name: String, dump: PathBuf, error: Box<Self> },
    #[error("the restore was stopped")]
    Cancelled,
    #[error("{source}; the half-made database {name} could not be dropped: {problem}")]
    Leftover { name: String, problem: PostgresError, source: Box<Self> },
}

fn listed(differences: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = differences.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ") + &more
}

impl From<CompareError> for DatabaseError {
    fn from(error: CompareError) -> Self {
        match error {
            CompareError::Postgres(e) => Self::Postgres(e),
            CompareError::Stream(e) => Self::Stream(e),
        }
    }
}

impl Diagnose for DatabaseError {
    fn class(&self) -> Class {
        match self {
            Self::Postgres(e) | Self::Create { source: e } | Self::Busy { source: e, .. } => match e.class() {
                Class::Retryable => Class::Failed,
                class => class,
            },
            Self::Load(e) => e.class(),
            Self::Verify(e) => e.class(),
            Self::Stream(e) => e.class(),
            Self::Exists { .. } | Self::NothingToReplace { .. } => Class::Usage,
            Self::Older { .. } | Self::MissingRoles { .. } | Self::Thread { .. } => Class::Failed,
            Self::Differs { .. } => Class::Verification,
            Self::Before { source, .. } => source.class(),
            Self::Cancelled => Class::Interrupted,
            Self::Leftover { source, .. } => source.class(),
            Self::AfterDump { error, .. } => error.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Postgres(e) => return e.hint(),
            Self::Load(e) => return e.hint(),
            Self::Verify(e) => return e.hint(),
            Self::Stream(e) => return e.hint(),
            Self::Exists { name } => {
                format!("choose another name, or, to put the restored one in its place: --replace {name}")
            }
            Self::NothingToReplace { .. } => "leave out --replace: a new database is made".into(),
            Self::Older { .. } => "restore to a server of the same major version, or a newer one".into(),
            Self::MissingRoles { in_set: true, .. } => "--with-roles makes those that are missing, first".into(),
            Self::MissingRoles { roles, .. } => {
                let make: Vec<_> =
                    roles.iter().map(|r| format!("CREATE ROLE {};", crate::model::contents::quoted(r))).collect();
                format!("the set holds no roles; make them: {}", make.join(" "))
            }
            Self::Create { .. } => "its locale or tablespace must be there on the server's host; see: locale -a".into(),
            Self::Busy { .. } => "stop what connects to it, then run the command again".into(),
            Self::Leftover { name, .. } => {
                format!("drop it by hand: DROP DATABASE {}", crate::model::contents::quoted(name))
            }
            Self::Before { source, .. } => source.hint().unwrap_or_else(|| {
                "--no-dump replaces it without a dump; it stays beside under another name all the same".into()
            }),
            Self::AfterDump { error, .. } => return error.hint(),
            Self::Differs { .. } | Self::Thread { .. } | Self::Cancelled => return None,
        })
    }
}
