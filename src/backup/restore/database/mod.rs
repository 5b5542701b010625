//! Restores a dump into a new database, compares it, and only then gives it its name.
//!
//! What has that name already is never written to. To replace it, the restored one takes its name in one transaction,
//! and the old one stays under another: until then, and whatever ends maint, the living database is as it was.

mod error;
mod names;

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

pub use error::DatabaseError;
pub use names::way_back;

use crate::{
    adapters::{clock, host, postgres::Session},
    backup::{
        create_database,
        load::{self, DumpFiles, Existing, GlobalsOptions, LoadOptions, Loaded, Tablespaces},
        objects::{self, Expected},
        verify,
    },
    model::{
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
    /// Whether it takes the place of a database of that name.
    pub replace: bool,
    /// Whether roles that are missing are made first.
    pub with_roles: bool,
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabasePlan {
    /// The server's version.
    pub version: String,
    /// Size of the database that has the name now.
    pub existing_bytes: Option<u64>,
    /// Roles that the dump names and the server lacks.
    pub missing_roles: Vec<String>,
    /// About what the restored database takes.
    pub bytes: u64,
    /// What restores left that were killed.
    pub leftovers: Vec<String>,
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

    async fn expected(&self) -> Result<Expected, DatabaseError> {
        let contents = self.contents();
        let path = contents.clone();
        Ok(blocking(&contents, move || Expected::read(&path)).await??)
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
    let plan = look(request, &session).await?;
    session.close().await;
    Ok(plan)
}

async fn look(request: &DatabaseRequest<'_>, session: &Session) -> Result<DatabasePlan, DatabaseError> {
    const SIZE: &str = "SELECT pg_database_size(oid) FROM pg_database WHERE datname = $1";
    let state = session.state().await?;
    let major = |version: &str| version.split('.').next().and_then(|m| m.parse::<u32>().ok()).unwrap_or(0);
    let source_version = &request.facts.server.version;
    if state.version_num / 10_000 < major(source_version) {
        return Err(DatabaseError::Older { source_version: source_version.clone(), found: state.version });
    }
    let existing = session.query("looking for the database", SIZE, &[&request.name]).await?;
    let existing_bytes = existing.first().map(|row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
    match (existing_bytes, request.replace) {
        (Some(_), false) => return Err(DatabaseError::Exists { name: request.name.to_owned() }),
        (None, true) => return Err(DatabaseError::NothingToReplace { name: request.name.to_owned() }),
        _ => {}
    }
    let needed: Vec<String> = request.expected().await?.needed_roles.into_iter().collect();
    let missing = "SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n)";
    let missing_roles = session.query("looking for roles", missing, &[&needed]).await?;
    let left = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1";
    let leftovers = session.query("looking for leftovers", left, &[&UNFINISHED]).await?;
    Ok(DatabasePlan {
        version: state.version,
        existing_bytes,
        missing_roles: missing_roles.iter().map(|row| row.get(0)).collect(),
        bytes: request.facts.database_bytes.max(request.artifact.plain_bytes),
        leftovers: leftovers.iter().map(|row| row.get(0)).collect(),
    })
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
    let plan = look(request, &session).await?;
    verify_artifact(request, cancel, events).await?;
    let roles = roles(request, &plan, &session).await?;
    let tablespaces = tablespaces(request, &session).await?;
    let unfinished = format!("{UNFINISHED}{}", clock::run_id().0.simple());
    let sql = create_database::sql(&unfinished, &request.facts.createdb_options, tablespaces);
    session.batch("making the database", &sql).await.map_err(|source| DatabaseError::Create { source })?;
    let filled = fill(request, &unfinished, tablespaces, cancel, events).await;
    let restored = match filled {
        Ok((loaded, rows, objects)) => names::give(&session, request, &unfinished)
            .await
            .map(|kept_as| RestoredDatabase { loaded, rows, objects, kept_as, roles }),
        Err(error) => Err(error),
    };
    let restored = match restored {
        Ok(restored) => Ok(restored),
        Err(error) => Err(names::discard(request, &unfinished, error).await),
    };
    session.close().await;
    restored
}

/// A restore reads ranges; whether the whole artifact is what was captured is known only by reading it.
async fn verify_artifact(
    request: &DatabaseRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(), DatabaseError> {
    let (set, artifact) = (request.set.to_owned(), request.artifact.clone());
    let (cancel, events) = (cancel.clone(), events.clone());
    let check = move || verify::one(&set, &artifact, Level::Structure, &cancel, &events);
    blocking(request.set, check).await??;
    Ok(())
}

/// Sees to it that every role is there; gives those that were made.
async fn roles(
    request: &DatabaseRequest<'_>,
    plan: &DatabasePlan,
    session: &Session,
) -> Result<Vec<String>, DatabaseError> {
    let missing =
        || DatabaseError::MissingRoles { roles: plan.missing_roles.clone(), in_set: request.globals.is_some() };
    match request.globals {
        Some(globals) if request.with_roles => {
            let files = DumpFiles {
                artifact: request.set.join(&globals.packed.file),
                contents: request.set.join(&globals.contents.file),
            };
            let options = GlobalsOptions {
                bootstrap_superuser: &request.facts.server.bootstrap_superuser,
                existing: Existing::Keep,
                tablespaces: Tablespaces::LeaveOut,
            };
            Ok(load::globals(session, &files, &options).await?.created)
        }
        _ if plan.missing_roles.is_empty() => Ok(Vec::new()),
        _ => Err(missing()),
    }
}

/// Whether the server has the tablespace that the database was in; else everything goes into the usual one.
async fn tablespaces(request: &DatabaseRequest<'_>, session: &Session) -> Result<bool, DatabaseError> {
    let option = request.facts.createdb_options.iter().find_map(|o| o.strip_prefix("--tablespace="));
    let Some(name) = option else { return Ok(false) };
    let sql = "SELECT EXISTS (SELECT FROM pg_tablespace WHERE spcname = $1)";
    Ok(session.one("looking for the tablespace", sql, &[&name]).await?.get(0))
}

/// Loads the dump, compares it, and adds the database's own properties.
async fn fill(
    request: &DatabaseRequest<'_>,
    unfinished: &str,
    tablespaces: bool,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(Loaded, load::Compared, objects::Compared), DatabaseError> {
    let settings: Vec<_> = request.facts.session_settings.clone().into_iter().collect();
    let options = LoadOptions {
        server: request.server,
        docker: request.docker,
        dbname: unfinished,
        jobs: host::cores(),
        tablespaces,
        settings: &settings,
    };
    let files = DumpFiles { artifact: request.set.join(&request.artifact.packed.file), contents: request.contents() };
    let tell = |doing: &'static str| {
        move |done: u64, total: u64, _: &str| events.progress(done, Some(total), format!("{doing} {}", request.name))
    };
    let loaded = load::database(&options, &files, cancel, &tell("restoring")).await?;
    let mut rows = load::compare(&options, &files.contents, cancel, &tell("comparing")).await?;
    let session = request.session(unfinished).await?;
    for companion in &request.artifact.companions {
        load::properties(&session, &request.set.join(&companion.file), unfinished).await?;
    }
    let compared = tokio::select! {
        compared = request.expected().await?.compare_database(&session, None) => compared?,
        () = cancel.cancelled() => return Err(DatabaseError::Cancelled),
    };
    session.close().await;
    let differences: Vec<_> = rows.differences.drain(..).chain(compared.differences.iter().cloned()).collect();
    if differences.is_empty() { Ok((loaded, rows, compared)) } else { Err(DatabaseError::Differs { differences }) }
}
