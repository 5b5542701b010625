//! What belongs to a server and to none of its databases: roles, memberships, tablespaces.

use std::collections::HashSet;

use super::{
    DumpFiles, LoadError,
    connections::execute,
    source::{Source, blocking},
};
use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents::{ContentsKind, quoted},
    stream::{
        StreamError,
        dump::{
            DumpSyntax, Splitter, Sql, SqlStatement,
            kind::{self, Kind},
        },
    },
};

/// What becomes of roles that the server has already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is done, and they are named.
    Refuse,
    /// They stay as they are.
    Keep,
}

/// What becomes of the source's tablespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tablespaces {
    /// They are made where they were.
    AsCaptured,
    /// They are made inside the server's own directory; where it cannot do that, left out.
    InPlace,
    /// They are left out.
    LeaveOut,
}

/// How globals are loaded.
#[derive(Debug, Clone)]
pub struct GlobalsOptions<'a> {
    /// The role that the source had from birth. Where the server has it too, it is not made again.
    pub bootstrap_superuser: &'a str,
    /// What becomes of roles that the server has already.
    pub existing: Existing,
    /// What becomes of tablespaces.
    pub tablespaces: Tablespaces,
    /// Whether the rest is loaded where the server refuses a statement, so that everything refused can be told.
    pub go_on: bool,
}

/// What was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadedGlobals {
    /// Roles that were made.
    pub created: Vec<String>,
    /// Roles that were there and stay as they are.
    pub kept: Vec<String>,
    /// Whether the source's tablespaces are there; what a load of its databases must know.
    pub tablespaces: bool,
    /// What the server refused, in words; always empty where nothing goes on after a refusal.
    pub refused: Vec<String>,
}

/// Loads a server's roles and tablespaces over a superuser's session.
///
/// # Errors
/// See [`LoadError`]; [`LoadError::RolesExist`] before anything is done.
pub async fn globals(
    session: &Session,
    files: &DumpFiles,
    options: &GlobalsOptions<'_>,
) -> Result<LoadedGlobals, LoadError> {
    let read = files.clone();
    let statements = blocking(&files.artifact, move || statements(&read)).await??;
    let roles = names(session, "SELECT rolname::text FROM pg_roles").await?;
    let spaces = names(session, "SELECT spcname::text FROM pg_tablespace").await?;
    // 10 is BOOTSTRAP_SUPERUSERID of pg_authid.dat.
    let bootstrap = names(session, "SELECT rolname::text FROM pg_roles WHERE oid = 10").await?.into_iter().next();
    refuse(&statements, &roles, options)?;
    let tablespaces = match options.tablespaces {
        Tablespaces::AsCaptured => true,
        Tablespaces::InPlace => allow_in_place(session).await?,
        Tablespaces::LeaveOut => false,
    };
    let loaded = LoadedGlobals { tablespaces, ..LoadedGlobals::default() };
    let mut plan = Plan { options, roles, spaces, bootstrap, loaded };
    for statement in statements {
        let Some(statement) = plan.statement(statement) else { continue };
        match execute(session, &statement).await {
            Err(error) if options.go_on && error.is_refusal() => plan.loaded.refused.push(error.to_string()),
            executed => executed?,
        }
    }
    Ok(plan.loaded)
}

async fn names(session: &Session, sql: &str) -> Result<HashSet<String>, PostgresError> {
    let rows = session.query("listing roles and tablespaces", sql, &[]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Lets tablespaces be made without a directory of their own (PostgreSQL 15 on, and late minor versions before).
async fn allow_in_place(session: &Session) -> Result<bool, PostgresError> {
    const KNOWN: &str = "SELECT count(*) = 1 FROM pg_settings WHERE name = 'allow_in_place_tablespaces'";
    let known: bool = session.one("asking for in-place tablespaces", KNOWN, &[]).await?.get(0);
    if known {
        session.batch("allowing in-place tablespaces", "SET allow_in_place_tablespaces = on").await?;
    }
    Ok(known)
}

/// Every statement of the artifact: a server has few. Blocking.
fn statements(files: &DumpFiles) -> Result<Vec<SqlStatement>, LoadError> {
    let syntax = |source| LoadError::Syntax { path: files.artifact.clone(), source };
    let source = Source::open(files, ContentsKind::PostgresGlobals)?;
    let mut reader = source.reader()?;
    let (mut splitter, mut at, mut statements) = (Splitter::default(), 0, Vec::new());
    while at < source.plain_bytes {
        let piece = reader.read(at, source.plain_bytes)?;
        let next = at + piece.len() as u64;
        let fed = splitter.feed(piece, &mut |sql| match sql {
            Sql::Statement(statement) => {
                statements.push(statement);
                Ok(())
            }
            Sql::Rows(table) => {
                Err(DumpSyntax { offset: at, problem: format!("rows of {table} among roles and tablespaces") })
            }
        });
        fed.map_err(syntax)?;
        at = next;
    }
    splitter.finish().map_err(syntax)?;
    if statements.is_empty() {
        return Err(StreamError::damaged(&files.artifact, "holds no statement").into());
    }
    Ok(statements)
}

fn refuse(statements: &[SqlStatement], roles: &HashSet<String>, options: &GlobalsOptions<'_>) -> Result<(), LoadError> {
    if options.existing == Existing::Keep {
        return Ok(());
    }
    let created = statements.iter().filter_map(|statement| match kind::of(&statement.text) {
        Kind::CreateRole(name) => Some(name),
        _ => None,
    });
    let existing: Vec<_> = created.filter(|n| n != options.bootstrap_superuser && roles.contains(n)).collect();
    if existing.is_empty() { Ok(()) } else { Err(LoadError::RolesExist { roles: existing }) }
}

/// What is done with each statement.
struct Plan<'a> {
    options: &'a GlobalsOptions<'a>,
    roles: HashSet<String>,
    spaces: HashSet<String>,
    /// The server's own role from birth.
    bootstrap: Option<String>,
    loaded: LoadedGlobals,
}

impl Plan<'_> {
    /// The statement as it is executed, if it is.
    fn statement(&mut self, statement: SqlStatement) -> Option<SqlStatement> {
        let keep = self.options.existing == Existing::Keep;
        match kind::of(&statement.text) {
            Kind::CreateRole(name) if self.roles.contains(&name) => {
                if keep {
                    self.loaded.kept.push(name);
                }
                None
            }
            Kind::CreateRole(name) => {
                self.loaded.created.push(name);
                Some(statement)
            }
            Kind::AlterRole(name) if keep && self.roles.contains(&name) => None,
            Kind::CreateTablespace { .. } | Kind::AboutTablespace if !self.loaded.tablespaces => None,
            Kind::CreateTablespace { name, .. } if keep && self.spaces.contains(&name) => None,
            Kind::CreateTablespace { before_location, .. } if self.options.tablespaces == Tablespaces::InPlace => {
                let mut text = statement.text.get(..before_location)?.to_vec();
                text.extend_from_slice(b"''");
                Some(SqlStatement { text, ..statement })
            }
            // From PostgreSQL 16 on a grantor must have been granted the role itself, except the one from birth.
            Kind::Membership { grantor, before_grantor } if grantor == self.options.bootstrap_superuser => {
                let Some(own) = self.bootstrap.as_deref() else { return Some(statement) };
                let mut text = statement.text.get(..before_grantor)?.to_vec();
                text.extend_from_slice(quoted(own).as_bytes());
                Some(SqlStatement { text, ..statement })
            }
            _ => Some(statement),
        }
    }
}
