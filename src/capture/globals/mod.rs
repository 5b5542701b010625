//! Captures what belongs to a server and to none of its databases: roles with memberships and passwords, tablespaces,
//! privileges on settings. `pg_dumpall --globals-only` writes it; the catalogue says how many roles it must hold.

mod roles;

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    path::Path,
};

use tokio_util::sync::CancellationToken;

use roles::RoleCounter;

use super::dump::{
    DumpError, dump_encoding,
    tool::{self, Tool},
};
use crate::{
    adapters::{
        postgres::{Endpoint, PostgresError, ServerState, Session, inventory},
        process::ProcessEnd,
    },
    model::{
        contents::{ContentsKind, LargeObjectLine, Line, TableLine},
        failure::{Class, Diagnose},
        ids::StepId,
        inventory::Object,
        manifest::{Artifact, Counts, ServerFacts, Source},
        secret::Secret,
        stack::{Docker, PostgresServer},
    },
    stream::{
        StreamError,
        artifact::{ArtifactWriter, PackedArtifact, SourceEnd, write_text},
        dump::{DumpReader, DumpSyntax, Visitor},
        frames::{Packing, TARGET_FRAME_BYTES},
    },
};

/// What a role needs to read of `pg_authid`: its passwords.
const READS_PASSWORDS: &str = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";
/// The roles that `pg_dumpall` writes: all but the server's own.
const ROLES: &str = "SELECT count(*) FROM pg_roles WHERE rolname !~ '^pg_'";
const PIECE_BYTES: usize = 64 << 10;

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum GlobalsError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Tool(#[from] DumpError),
    #[error("there is no server {server} in maint.toml")]
    UnknownServer { server: String },
    #[error("{role} may not read the passwords of the roles of {server} (pg_authid)")]
    Passwords { server: String, role: String },
    #[error("`pg_dumpall` of {server} {end}{}", said(stderr))]
    Failed { server: String, end: ProcessEnd, stderr: String, retry: bool },
    #[error("the roles and tablespaces of {server} cannot be used")]
    Syntax { server: String, source: DumpSyntax },
    #[error("`pg_dumpall` of {server} wrote {found} roles, the catalogue has {expected}")]
    Roles { server: String, expected: u64, found: u64 },
    #[error("roles or tablespaces of {server} were changed while they were captured")]
    Changed { server: String },
    #[error("the capture of the roles of {server} was stopped")]
    Cancelled { server: String },
    #[error("the thread that reads the roles of {server} ended early")]
    Thread { server: String },
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!(": {}", stderr.trim_end()) }
}

impl Diagnose for GlobalsError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
            Self::Postgres(e) => e.class(),
            Self::Tool(e) => e.class(),
            Self::UnknownServer { .. } => Class::Usage,
            // A role was made or dropped meanwhile: the next try sees one of both.
            Self::Roles { .. } | Self::Changed { .. } | Self::Failed { retry: true, .. } => Class::Retryable,
            Self::Cancelled { .. } => Class::Interrupted,
            Self::Passwords { .. } | Self::Failed { .. } | Self::Syntax { .. } | Self::Thread { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
            Self::Postgres(e) => e.hint(),
            Self::Tool(e) => e.hint(),
            Self::Passwords { role, .. } => Some(format!(
                "GRANT pg_read_all_data TO \"{role}\" (PostgreSQL 14 on), or run this step with a superuser, or set \
                 role_passwords = false and set the passwords anew after a restore"
            )),
            _ => None,
        }
    }
}

/// What to capture, and where to.
#[derive(Debug)]
pub struct GlobalsRequest<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, for servers in containers.
    pub docker: &'a Docker,
    /// The step that it belongs to.
    pub step: &'a StepId,
    /// The run's staging directory.
    pub staging: &'a Path,
    /// The artifact's file name.
    pub artifact: String,
    /// The file name of the settings of all roles, written where there are any.
    pub settings: String,
    /// How to pack.
    pub packing: Packing,
    /// Whether the passwords' verifiers are captured.
    pub role_passwords: bool,
    /// The host's secret, from which the restrict key comes.
    pub host_secret: &'a Secret,
}

/// What was captured.
#[derive(Debug)]
pub struct CapturedGlobals {
    /// Its artifact.
    pub artifact: Artifact,
    /// Programs that took part, with their versions.
    pub tools: BTreeMap<String, String>,
}

/// Whether the session's role may read the roles' passwords.
///
/// # Errors
/// When the connection is lost.
pub async fn may_read_passwords(session: &Session) -> Result<bool, PostgresError> {
    Ok(session.one("asking for pg_authid", READS_PASSWORDS, &[]).await?.get(0))
}

/// Captures a server's roles and tablespaces.
///
/// # Errors
/// See [`GlobalsError`]; nothing is left then.
pub async fn capture(
    request: &GlobalsRequest<'_>,
    cancel: &CancellationToken,
) -> Result<CapturedGlobals, GlobalsError> {
    let cancelled = || GlobalsError::Cancelled { server: request.server.name.clone() };
    let prepared = tokio::select! {
        prepared = prepare(request, cancel) => prepared,
        () = cancel.cancelled() => Err(cancelled()),
    };
    let Prepared { endpoint, state, roles, tool, settings, objects } = prepared?;
    let written = write(request, &tool, &endpoint, &state, cancel).await;
    if cancel.is_cancelled() {
        return Err(cancelled());
    }
    let Written { mut pumped, end } = written?;
    if pumped.roles.count != roles {
        let (server, found) = (request.server.name.clone(), pumped.roles.count);
        return Err(GlobalsError::Roles { server, expected: roles, found });
    }
    record(request, &endpoint, objects, &mut pumped.writer).await?;
    let server = request.server.name.clone();
    let finished = tokio::task::spawn_blocking(move || pumped.writer.finish(SourceEnd::Process(end))).await;
    let packed = finished.map_err(|_| GlobalsError::Thread { server })??;
    let version = tool.version().text.clone();
    let mut artifact = describe(request, packed, &state, &version, roles);
    if let Some(settings) = settings {
        artifact.companions.push(write_text(request.staging, &request.settings, &settings)?);
    }
    Ok(CapturedGlobals { artifact, tools: BTreeMap::from([("pg_dumpall".to_owned(), version)]) })
}

fn describe(
    request: &GlobalsRequest<'_>,
    packed: PackedArtifact,
    state: &ServerState,
    version: &str,
    roles: u64,
) -> Artifact {
    let mut not_kept = Vec::new();
    if !request.role_passwords {
        not_kept.push("passwords of the roles (role_passwords = false): set them anew after a restore".to_owned());
    }
    Artifact {
        step: request.step.clone(),
        kind: ContentsKind::PostgresGlobals,
        packed: packed.packed,
        codec: request.packing.codec,
        codec_level: request.packing.level,
        plain_bytes: packed.plain_bytes,
        contents: packed.contents,
        companions: Vec::new(),
        source: Source::PostgresServer(ServerFacts {
            server: request.server.name.clone(),
            version: state.version.clone(),
            system_identifier: state.system_identifier.clone(),
            bootstrap_superuser: state.bootstrap_superuser.clone(),
            preload: state.preload.clone(),
        }),
        counts: Counts { roles: Some(roles), ..Counts::default() },
        method: format!("pg_dumpall {version} --globals-only"),
        not_kept,
        warnings: Vec::new(),
    }
}

struct Prepared {
    endpoint: Endpoint,
    state: ServerState,
    roles: u64,
    tool: Tool,
    /// Settings of all roles, as SQL.
    settings: Option<String>,
    /// Everything by name, for a restore to be compared with.
    objects: Vec<Object>,
}

async fn prepare(request: &GlobalsRequest<'_>, cancel: &CancellationToken) -> Result<Prepared, GlobalsError> {
    let GlobalsRequest { server, docker, .. } = request;
    let session = Session::connect(server, docker, &server.dbname, "maint globals").await?;
    let state = session.state().await?;
    if request.role_passwords && !may_read_passwords(&session).await? {
        return Err(GlobalsError::Passwords { server: server.name.clone(), role: server.user.clone() });
    }
    let roles = session.one("counting the roles", ROLES, &[]).await?.get::<_, i64>(0);
    let tool = Tool::find(server, docker, &state, cancel).await?;
    let settings = super::properties::of_all_roles(&session).await?;
    let objects = objects(&session, request.role_passwords).await?;
    let endpoint = session.endpoint().clone();
    session.close().await;
    Ok(Prepared { endpoint, state, roles: u64::try_from(roles).unwrap_or(0), tool, settings, objects })
}

async fn objects(session: &Session, passwords: bool) -> Result<Vec<Object>, PostgresError> {
    let mut objects = Vec::new();
    inventory::server(session, passwords, None, &mut |object| objects.push(object)).await?;
    Ok(objects)
}

/// Records what was there before, if it is still the same: `pg_dumpall` has no snapshot that could be asked.
async fn record(
    request: &GlobalsRequest<'_>,
    endpoint: &Endpoint,
    before: Vec<Object>,
    writer: &mut ArtifactWriter,
) -> Result<(), GlobalsError> {
    let GlobalsRequest { server, .. } = request;
    let session = Session::open(endpoint.clone(), &server.dbname, "maint globals", server.lock_timeout).await?;
    let now = objects(&session, request.role_passwords).await?;
    session.close().await;
    let digests = |objects: &[Object]| {
        let mut all: Vec<_> = objects.iter().map(|o| (o.catalogue.clone(), o.identity.clone(), o.digest())).collect();
        all.sort();
        all
    };
    if digests(&before) != digests(&now) {
        return Err(GlobalsError::Changed { server: server.name.clone() });
    }
    for object in before {
        writer.record(&Line::Object(object))?;
    }
    let catalogues = inventory::asked_of_server(request.role_passwords);
    Ok(writer.record(&Line::Inventory { catalogues })?)
}

struct Written {
    pumped: Pumped,
    end: ProcessEnd,
}

/// Runs `pg_dumpall` into an artifact that is still unfinished.
async fn write(
    request: &GlobalsRequest<'_>,
    tool: &Tool,
    endpoint: &Endpoint,
    state: &ServerState,
    cancel: &CancellationToken,
) -> Result<Written, GlobalsError> {
    let server = || request.server.name.clone();
    let writer =
        ArtifactWriter::create(request.staging, &request.artifact, ContentsKind::PostgresGlobals, request.packing)?;
    let mut options = vec![
        "--globals-only".to_owned(),
        format!("--encoding={}", dump_encoding(&state.encoding)),
        format!("--database={}", request.server.dbname),
    ];
    if !request.role_passwords {
        options.push("--no-role-passwords".to_owned());
    }
    if tool.version().has_restrict_key() {
        // No database has an empty name.
        let key = super::restrict_key(request.host_secret, &state.system_identifier, "");
        options.push(format!("--restrict-key={key}"));
    }
    let endpoint = tool::endpoint_for_tool(request.server, endpoint);
    let login = (&endpoint, request.server.dbname.as_str(), "maint globals");
    let (mut dump, stdout) = tool.start_program("pg_dumpall", login, options, request.staging).await?;
    let stop = cancel.child_token();
    let stopper = stop.clone();
    let pump = tokio::task::spawn_blocking(move || pump(stdout, writer).inspect_err(|_| stopper.cancel()));
    let end = dump.wait(&stop).await;
    let pumped = pump.await.map_err(|_| GlobalsError::Thread { server: server() })?;
    let stderr = dump.stderr();
    dump.forget_password().map_err(PostgresError::from)?;
    match (end, pumped) {
        // The disk or the stream is to blame; that stopped the program.
        (_, Err(Stop::Stream(error))) => Err(error.into()),
        (Ok(end), _) if !end.is_success() => {
            let retry = tool::may_pass(end, &stderr);
            Err(GlobalsError::Failed { server: server(), end, stderr, retry })
        }
        (_, Err(Stop::Syntax(source))) => Err(GlobalsError::Syntax { server: server(), source }),
        (end, Ok(pumped)) => Ok(Written { pumped, end: end? }),
    }
}

struct Pumped {
    writer: ArtifactWriter,
    roles: RoleCounter,
}

/// What ends the reading early.
enum Stop {
    Stream(StreamError),
    Syntax(DumpSyntax),
}

impl From<DumpSyntax> for Stop {
    fn from(error: DumpSyntax) -> Self {
        Self::Syntax(error)
    }
}

impl Visitor for Pumped {
    type Error = Stop;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.roles.read(bytes);
        self.writer.write(bytes).and_then(|()| self.writer.cut_if(TARGET_FRAME_BYTES)).map_err(Stop::Stream)
    }

    /// Globals have no tables; the verifier refuses an artifact that has one.
    fn table(&mut self, _table: TableLine) -> Result<(), Stop> {
        Ok(())
    }

    fn large_object(&mut self, _object: LargeObjectLine) -> Result<(), Stop> {
        Ok(())
    }
}

fn pump(stdout: OwnedFd, writer: ArtifactWriter) -> Result<Pumped, Stop> {
    let mut pumped = Pumped { writer, roles: RoleCounter::default() };
    let mut reader = DumpReader::globals();
    let mut source = File::from(stdout);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                return Err(Stop::Stream(StreamError::Pack { name: pumped.writer.name().to_owned(), source }));
            }
        };
        reader.feed(&piece[..read], &mut pumped)?;
    }
    reader.finish()?;
    Ok(pumped)
}
