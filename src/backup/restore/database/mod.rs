//! Restores a dump into a new database, compares it, and only then gives it its name.
//!
//! What has that name already is never written to. To replace it, the restored one takes its name in one transaction,
//! and the old one stays under another: until then, and whatever ends maint, the living database is as it was. Before
//! anything else it is dumped ([`before`]).

mod before;
mod error;
mod fill;
mod look;
mod names;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub use before::{BeforeError, DumpFirst};
pub use error::DatabaseError;
use fill::{Absent, LeftOut};
pub use look::DatabasePlan;
pub use names::way_back;

use crate::{
    adapters::{clock, postgres::Session},
    backup::{
        create_database,
        load::{self, DumpFiles, Existing, GlobalsOptions, Loaded, Tablespaces},
        objects::{self, Expected},
        publish::Published,
        verify,
    },
    model::{
        contents::TableLine,
        event::StepEvents,
        manifest::{Artifact, Level, PostgresFacts, Source},
        stack::{Docker, PostgresServer},
    },
};

/// What half-made databases are called.
const UNFINISHED: &str = "maint_restore_";

/// What to restore, and where to.
#[derive(Debug, Clone, Copy)]
pub struct DatabaseRequest<'a> {
    /// The set's directory.
    pub set: &'a Path,
    /// The dump.
    pub artifact: &'a Artifact,
    /// The dumped database.
    pub facts: &'a PostgresFacts,
    /// The roles of its server, where the set has them.
    pub globals: Option<&'a Artifact>,
    /// The server to restore to; its role must be a superuser, or own nothing that others own.
    pub server: &'a PostgresServer,
    /// The engine, for servers in containers.
    pub docker: &'a Docker,
    /// The database's name to be.
    pub name: &'a str,
    /// Only the rows of these tables; empty: everything.
    pub tables: &'a [TableLine],
    /// It takes the place of a database of that name; `None`: there must be none.
    pub replace: Option<&'a Replace>,
    /// Whether roles that are missing are made first.
    pub with_roles: bool,
}

/// What becomes of a database before another one takes its place. It stays beside under another name in any case.
#[derive(Debug, Clone)]
pub enum Replace {
    /// It is dumped, and the dump verified.
    Dump(DumpFirst),
    /// Nothing more.
    WithoutDump,
}

/// A restored database.
#[derive(Debug)]
pub struct RestoredDatabase {
    /// What was loaded.
    pub loaded: Loaded,
    /// Rows and large objects that were compared.
    pub rows: load::Compared,
    /// Objects and sequences that were compared.
    pub objects: objects::Compared,
    /// What the replaced database is called now.
    pub kept_as: Option<String>,
    /// The dump of what it held before, where that was asked for.
    pub dumped: Option<Published>,
    /// Roles that were made.
    pub roles: Vec<String>,
}

/// The dump of a set's artifact.
pub fn facts(artifact: &Artifact) -> Option<&PostgresFacts> {
    match &artifact.source {
        Source::PostgresDatabase(facts) => Some(facts),
        _ => None,
    }
}

async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, DatabaseError> {
    let thread = |_| DatabaseError::Thread { path: path.to_owned() };
    tokio::task::spawn_blocking(work).await.map_err(thread)
}

impl DatabaseRequest<'_> {
    fn contents(&self) -> PathBuf {
        self.set.join(&self.artifact.contents.file)
    }

    /// What the source said of itself, but for what goes with foreign keys that were left out.
    async fn expected(&self, left_out: Vec<LeftOut>) -> Result<Expected, DatabaseError> {
        let contents = self.contents();
        let path = contents.clone();
        if self.tables.is_empty() {
            return Ok(blocking(&contents, move || Expected::read(&path)).await??);
        }
        let mut absent = Absent::new(left_out);
        Ok(blocking(&contents, move || Expected::read_without(&path, |object| absent.has(object))).await??)
    }

    async fn session(&self, dbname: &str) -> Result<Session, DatabaseError> {
        Ok(Session::connect(self.server, self.docker, dbname, "maint restore").await?)
    }
}

/// Tells what [`database`] would do; changes nothing.
///
/// # Errors
/// As [`database`], for what can be known before.
pub async fn plan(request: &DatabaseRequest<'_>) -> Result<DatabasePlan, DatabaseError> {
    let session = request.session(names::HOME).await?;
    let plan = look::look(request, &session).await?;
    session.close().await;
    Ok(plan)
}

/// Restores, compares, and gives the name.
///
/// # Errors
/// See [`DatabaseError`]; nothing of the restore is left then, unless [`Leftover`](DatabaseError::Leftover) says so, and
/// what was there before is as it was.
pub async fn database(
    request: &DatabaseRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<RestoredDatabase, DatabaseError> {
    let session = request.session(names::HOME).await?;
    let plan = look::look(request, &session).await?;
    let makes_roles = request.with_roles && request.globals.is_some();
    if !plan.missing_roles.is_empty() && !makes_roles {
        let (roles, in_set) = (plan.missing_roles, request.globals.is_some());
        return Err(DatabaseError::MissingRoles { roles, in_set });
    }
    verify_artifact(request, cancel, events).await?;
    let dumped = before::dump(request, cancel, events).await?;
    let restored = make(request, &session, cancel, events).await;
    session.close().await;
    match (restored, dumped) {
        (Ok(restored), dumped) => Ok(RestoredDatabase { dumped, ..restored }),
        (Err(error), None) => Err(error),
        (Err(error), Some(dumped)) => {
            let name = request.name.to_owned();
            Err(DatabaseError::AfterDump { name, dump: dumped.path, error: Box::new(error) })
        }
    }
}

async fn make(
    request: &DatabaseRequest<'_>,
    session: &Session,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<RestoredDatabase, DatabaseError> {
    let roles = roles(request, session).await?;
    let tablespaces = tablespaces(request, session).await?;
    let unfinished = format!("{UNFINISHED}{}", clock::run_id().0.simple());
    let sql = create_database::sql(&unfinished, &request.facts.createdb_options, tablespaces);
    session.batch("making the database", &sql).await.map_err(|source| DatabaseError::Create { source })?;
    let restored = match fill::fill(request, &unfinished, tablespaces, cancel, events).await {
        Ok((loaded, rows, objects)) => {
            let given = names::give(session, request, &unfinished).await;
            given.map(|kept_as| RestoredDatabase { loaded, rows, objects, kept_as, dumped: None, roles })
        }
        Err(error) => Err(error),
    };
    match restored {
        Ok(restored) => Ok(restored),
        Err(error) => Err(names::discard(request, &unfinished, error).await),
    }
}

/// A restore reads ranges; whether the whole artifact is what was captured is known only by reading it. For single tables
/// nothing more is decoded than they need: their rows and the objects are compared afterwards.
async fn verify_artifact(
    request: &DatabaseRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(), DatabaseError> {
    let (set, artifact) = (request.set.to_owned(), request.artifact.clone());
    let (cancel, events) = (cancel.clone(), events.clone());
    let level = if request.tables.is_empty() { Level::Structure } else { Level::Checksum };
    let check = move || verify::one(&set, &artifact, level, &cancel, &events);
    blocking(request.set, check).await??;
    Ok(())
}

/// Makes the roles that are missing, where that was asked for; gives those that were made.
async fn roles(request: &DatabaseRequest<'_>, session: &Session) -> Result<Vec<String>, DatabaseError> {
    let Some(globals) = request.globals.filter(|_| request.with_roles) else { return Ok(Vec::new()) };
    let files = DumpFiles {
        artifact: request.set.join(&globals.packed.file),
        contents: request.set.join(&globals.contents.file),
    };
    let options = GlobalsOptions {
        bootstrap_superuser: &request.facts.server.bootstrap_superuser,
        existing: Existing::Keep,
        tablespaces: Tablespaces::LeaveOut,
        go_on: false,
    };
    Ok(load::globals(session, &files, &options).await?.created)
}

/// Whether the server has the tablespace that the database was in; else everything goes into the usual one.
async fn tablespaces(request: &DatabaseRequest<'_>, session: &Session) -> Result<bool, DatabaseError> {
    let option = request.facts.createdb_options.iter().find_map(|o| o.strip_prefix("--tablespace="));
    let Some(name) = option else { return Ok(false) };
    let sql = "SELECT EXISTS (SELECT FROM pg_tablespace WHERE spcname = $1)";
    Ok(session.one("looking for the tablespace", sql, &[&name]).await?.get(0))
}
