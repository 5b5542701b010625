//! What a restore would meet: known before anything is done.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{DatabaseError, DatabaseRequest, Replace, UNFINISHED, before::BeforeError, blocking};
use crate::{
    adapters::{
        files,
        postgres::{ServerState, Session},
    },
    capture::dump,
};

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
    /// It hardly takes less.
    pub at_least: u64,
    /// Where the server keeps its databases, where that is on this host and this user may look at it.
    pub room: Option<PathBuf>,
    /// What restores left that were killed.
    pub leftovers: Vec<String>,
}

/// Looks at the server, and refuses what can be known to fail.
pub(super) async fn look(request: &DatabaseRequest<'_>, session: &Session) -> Result<DatabasePlan, DatabaseError> {
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
        (Some(_), None) => return Err(DatabaseError::Exists { name: request.name.to_owned() }),
        (None, Some(_)) => return Err(DatabaseError::NothingToReplace { name: request.name.to_owned() }),
        (Some(_), Some(Replace::Dump(_))) => can_be_dumped(request, &state).await?,
        _ => {}
    }
    let needed: Vec<String> = request.expected(Vec::new()).await?.needed_roles.into_iter().collect();
    let missing = "SELECT n FROM unnest($1::text[]) n WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = n)";
    let missing_roles = session.query("looking for roles", missing, &[&needed]).await?;
    let left = "SELECT datname::text FROM pg_database WHERE starts_with(datname, $1) ORDER BY 1";
    let leftovers = session.query("looking for leftovers", left, &[&UNFINISHED]).await?;
    let (of_source, of_dump) = (request.facts.database_bytes, request.artifact.plain_bytes);
    let of_tables = (!request.tables.is_empty()).then(|| request.tables.iter().map(|t| t.bytes).sum::<u64>());
    Ok(DatabasePlan {
        room: room(session, &state).await,
        version: state.version,
        existing_bytes,
        missing_roles: missing_roles.iter().map(|row| row.get(0)).collect(),
        bytes: of_tables.unwrap_or(of_source.max(of_dump)),
        at_least: of_tables.unwrap_or(if of_source == 0 { of_dump } else { of_source.min(of_dump) }),
        leftovers: leftovers.iter().map(|row| row.get(0)).collect(),
    })
}

/// Whether there is a `pg_dump` for what is to be replaced, and the role may read all of it.
async fn can_be_dumped(request: &DatabaseRequest<'_>, state: &ServerState) -> Result<(), DatabaseError> {
    let failed = |source: dump::DumpError| DatabaseError::Before {
        name: request.name.to_owned(),
        source: Box::new(BeforeError::Dump(source)),
    };
    let never = CancellationToken::new();
    dump::tool_version(request.server, request.docker, state, &never).await.map_err(failed)?;
    let inside = request.session(request.name).await?;
    dump::check_permissions(&inside).await.map_err(failed)?;
    inside.close().await;
    Ok(())
}

/// The server's data directory as it is on this host. Only where `pg_control` says so it is this server's: another one, or
/// a container's, may have the same path.
async fn room(session: &Session, state: &ServerState) -> Option<PathBuf> {
    const WHERE: &str = "SELECT setting FROM pg_settings WHERE name = 'data_directory'";
    const CONTROL: &str = "global/pg_control";
    const MOST: u64 = 64 << 10;
    let rows = session.query("asking for the data directory", WHERE, &[]).await.ok()?;
    let dir = PathBuf::from(rows.first()?.get::<_, Option<String>>(0)?);
    let (path, identifier) = (dir.join(CONTROL), state.system_identifier.clone());
    let is_its = move || {
        let bytes = files::read_limited(&path, MOST).ok()?;
        // The first field of ControlFileData, in the host's byte order.
        let first = bytes.first_chunk().map(|first| u64::from_ne_bytes(*first));
        Some(first?.to_string() == identifier)
    };
    blocking(Path::new(CONTROL), is_its).await.ok()?.filter(|is| *is).map(|_| dir)
}
