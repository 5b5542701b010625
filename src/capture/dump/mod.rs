//! Dumps one database into one artifact: `pg_dump`'s plain SQL in one snapshot, checked against the catalogue on the way.
//!
//! One session holds an exported snapshot and reads the catalogue in it; `pg_dump` dumps that snapshot; a thread
//! carries its output into the artifact ([`pump`]); another session looks whom the dump keeps waiting ([`watch`]). The
//! artifact is finished only when all of them agree.

mod asked;
mod error;
mod pump;
mod snapshot;
pub(super) mod tool;
mod watch;

use std::{collections::BTreeMap, path::Path, time::Duration};

use asked::{Counter, Sequences};
pub use error::DumpError;
use pump::{Progress, PumpError, Pumped};
use snapshot::Snapshot;
pub(super) use snapshot::dump_encoding;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tool::{Order, Tool};
use watch::{Signals, Watcher};

use crate::{
    adapters::{
        files,
        postgres::{Endpoint, PostgresError, ServerState, Session, catalogue, inventory},
        process::ProcessEnd,
    },
    model::{
        contents::{ContentsKind, Line},
        event::StepEvents,
        ids::{RunId, StepId},
        manifest::{Artifact, Counts, PostgresFacts, Source},
        secret::Secret,
        stack::{Docker, PostgresServer},
    },
    stream::{
        artifact::{ArtifactWriter, PackedArtifact, SourceEnd, write_text},
        dump::DumpSummary,
        frames::Packing,
    },
};

/// What a plain dump does not hold.
const NOT_KEPT: [&str; 3] = [
    "roles and tablespaces: they are the server's (do.postgres_globals captures them)",
    "planner statistics: run ANALYZE after a restore",
    "rows of foreign tables",
];

/// How long a dump may go on after a failure beside it, to say itself what is wrong.
const GIVE_WAY: Duration = Duration::from_secs(1);

/// What to dump, and where to.
#[derive(Debug)]
pub struct DumpRequest<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, for servers in containers.
    pub docker: &'a Docker,
    /// The database.
    pub database: &'a str,
    /// The run, which names the dump's session.
    pub run: RunId,
    /// The step that it belongs to.
    pub step: &'a StepId,
    /// The run's staging directory.
    pub staging: &'a Path,
    /// The artifact's file name.
    pub artifact: String,
    /// The file name of the database's properties.
    pub properties: String,
    /// How to pack.
    pub packing: Packing,
    /// Whether the server counts every table's rows too.
    pub count_rows: bool,
    /// The host's secret, from which the restrict key comes.
    pub host_secret: &'a Secret,
}

/// A finished dump.
#[derive(Debug)]
pub struct Dumped {
    /// Its artifact: all files stand in the staging directory.
    pub artifact: Artifact,
    /// Programs that took part, with their versions.
    pub tools: BTreeMap<String, String>,
}

/// Dumps a database.
///
/// # Errors
/// See [`DumpError`]; nothing is left of the dump then, and the server is as before.
pub async fn capture(
    request: &DumpRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Dumped, DumpError> {
    let prepared = tokio::select! {
        prepared = prepare(request, cancel) => prepared,
        () = cancel.cancelled() => Err(DumpError::Cancelled { database: request.database.to_owned() }),
    };
    let Prepared { endpoint, snapshot, facts, properties, tool, watcher, witnesses } = prepared?;
    let order = (&tool, &endpoint, &snapshot);
    let (packed, pumped, mut warnings) = dump(request, order, (&watcher, witnesses), cancel, events).await?;
    let counted_at_source = request.count_rows.then_some(snapshot.tables.len() as u64);
    snapshot.session.close().await;
    let properties = write_text(request.staging, &request.properties, &properties)
        .inspect_err(|_| discard(request.staging, &packed))?;
    warnings.splice(..0, snapshot.warnings);
    let counts = Counts {
        tables: Some(pumped.tables),
        rows: Some(pumped.rows),
        counted_at_source,
        large_objects: Some(pumped.large_objects),
        ..Counts::default()
    };
    let version = tool.version().text.clone();
    let artifact = Artifact {
        step: request.step.clone(),
        kind: ContentsKind::PostgresDump,
        packed: packed.packed,
        codec: request.packing.codec,
        codec_level: request.packing.level,
        plain_bytes: packed.plain_bytes,
        contents: packed.contents,
        companions: vec![properties],
        source: Source::PostgresDatabase(facts),
        counts,
        method: format!("pg_dump {version} in one snapshot"),
        not_kept: NOT_KEPT.map(str::to_owned).to_vec(),
        warnings,
    };
    Ok(Dumped { artifact, tools: BTreeMap::from([("pg_dump".to_owned(), version)]) })
}

/// Whether the session's role may dump all of the session's database.
///
/// # Errors
/// [`DumpError::Unreadable`] or [`DumpError::RowSecurity`] with what stands in the way; or the connection is lost.
pub async fn check_permissions(session: &Session) -> Result<(), DumpError> {
    snapshot::refuse_obstacles(session, catalogue::obstacles(session).await?)
}

/// The version of the `pg_dump` that would dump a server in this state.
///
/// # Errors
/// When there is none, or none that is new enough.
pub async fn tool_version(
    server: &PostgresServer,
    docker: &Docker,
    state: &ServerState,
    cancel: &CancellationToken,
) -> Result<String, DumpError> {
    Ok(Tool::find(server, docker, state, cancel).await?.version().text.clone())
}

/// Everything that must stand before `pg_dump` starts.
struct Prepared {
    endpoint: Endpoint,
    snapshot: Snapshot,
    facts: PostgresFacts,
    /// The text of the database's own properties.
    properties: String,
    tool: Tool,
    watcher: Watcher,
    witnesses: Witnesses,
}

/// Sessions beside the dump's own.
struct Witnesses {
    watching: Session,
    counter: Option<Counter>,
    /// How the sequences were before the dump.
    sequences: Sequences,
}

async fn prepare(request: &DumpRequest<'_>, cancel: &CancellationToken) -> Result<Prepared, DumpError> {
    let DumpRequest { server, docker, database, .. } = request;
    let endpoint = Endpoint::resolve(server, docker).await?;
    let session = Session::open(endpoint.clone(), database, "maint snapshot", server.lock_timeout).await?;
    let snapshot = Snapshot::take(session).await?;
    // Read before the dump: once `pg_dump` has the snapshot, losing its session loses nothing.
    let facts = snapshot.facts(database).await?;
    let properties = super::properties::sql(&snapshot.session).await?;
    let tool = Tool::find(server, docker, &snapshot.state, cancel).await?;
    let watcher = Watcher {
        endpoint: endpoint.clone(),
        database: (*database).to_owned(),
        application: format!("maint dump {}", request.run),
        lock_timeout: server.lock_timeout,
    };
    let watching = watcher.connect().await?;
    let counter = if request.count_rows {
        // Under the dump's name: it gives way to others as the dump does.
        let session = Session::open(endpoint.clone(), database, &watcher.application, server.lock_timeout).await?;
        Some(Counter::take(session, &snapshot.id).await?)
    } else {
        None
    };
    let sequences = catalogue::sequences(&snapshot.session).await?;
    let witnesses = Witnesses { watching, counter, sequences };
    Ok(Prepared { endpoint, snapshot, facts, properties, tool, watcher, witnesses })
}

/// Runs `pg_dump` into a finished artifact; gives what was packed, what is in it, and warnings.
async fn dump(
    request: &DumpRequest<'_>,
    (tool, endpoint, snapshot): (&Tool, &Endpoint, &Snapshot),
    (watcher, witnesses): (&Watcher, Witnesses),
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(PackedArtifact, DumpSummary, Vec<String>), DumpError> {
    let Witnesses { watching, counter, sequences } = witnesses;
    let writer = begin(request, snapshot, &watching, cancel).await?;
    let key = super::restrict_key(request.host_secret, &snapshot.state.system_identifier, request.database);
    let order = Order {
        endpoint: &tool::endpoint_for_tool(request.server, endpoint),
        database: request.database,
        application: &watcher.application,
        snapshot: &snapshot.id,
        encoding: dump_encoding(&snapshot.state.encoding),
        restrict_key: &key,
        lock_timeout: request.server.lock_timeout,
    };
    let (mut dump, stdout) = tool.start(&order, request.staging).await?;
    let stop = cancel.child_token();
    let began = CancellationToken::new();
    let pump = spawn_pump(request, stdout, writer, snapshot.estimated_bytes(), (&began, &stop), events);
    let ended = CancellationToken::new();
    let wait = async {
        let end = dump.wait(&stop).await;
        if !end.as_ref().is_ok_and(|end| end.is_success()) {
            stop.cancel();
        }
        ended.cancel();
        end
    };
    let watch = async {
        let signals = Signals { began: &began, ended: &ended, stop: &stop };
        let watched = watcher.watch(watching, snapshot, signals).await;
        if watched.is_err() {
            stop.cancel();
        }
        watched
    };
    let count = count(counter, snapshot, Signals { began: &began, ended: &ended, stop: &stop });
    let (end, watched, counted) = tokio::join!(wait, watch, count);
    let pumped = pump.await.unwrap_or_else(|_| Err(PumpError::Panicked));
    let stderr = dump.stderr();
    let forgotten = dump.forget_password();
    let verdict = Verdict { end, watched, counted, pumped };
    let (end, counted, mut pumped) = verdict.decide(request.database, &stderr, snapshot.session.is_closed(), cancel)?;
    forgotten.map_err(PostgresError::from)?;
    snapshot.compare(request.database, &pumped.tables, pumped.summary.large_objects)?;
    asked::compare(request.database, &snapshot.tables, &counted, &pumped.tables, &mut pumped.writer)?;
    let now = watcher.connect().await?;
    asked::record_sequences(&now, &sequences, &mut pumped.writer).await?;
    now.close().await;
    let packed = finish(pumped.writer, end).await?;
    Ok((packed, pumped.summary, tool::warnings(&stderr)))
}

/// Counts the rows once the dump has its locks: then nobody else's can be in the way.
async fn count(
    counter: Option<Counter>,
    snapshot: &Snapshot,
    Signals { began, ended, stop }: Signals<'_>,
) -> Result<Vec<u64>, PostgresError> {
    let Some(counter) = counter else { return Ok(Vec::new()) };
    tokio::select! {
        () = began.cancelled() => {}
        () = ended.cancelled() => {}
    }
    let counted = counter.count(&snapshot.tables, stop).await;
    if counted.is_err() {
        // A server that is gone ends the dump too, and what that says comes first.
        let _ = tokio::time::timeout(GIVE_WAY, ended.cancelled()).await;
        stop.cancel();
    }
    counted
}

/// Begins the artifact with what the source says of itself in the snapshot.
async fn begin(
    request: &DumpRequest<'_>,
    snapshot: &Snapshot,
    watching: &Session,
    cancel: &CancellationToken,
) -> Result<ArtifactWriter, DumpError> {
    let mut writer =
        ArtifactWriter::create(request.staging, &request.artifact, ContentsKind::PostgresDump, request.packing)?;
    for table in &snapshot.tables {
        writer.record(&Line::CatalogueTable { table: table.name.clone() })?;
    }
    writer.record(&Line::CatalogueLargeObjects { count: snapshot.large_objects })?;
    if snapshot.state.version_num >= inventory::SINCE_VERSION_NUM {
        tokio::select! {
            recorded = asked::record_objects(&snapshot.session, &mut writer) => {
                if let Err(error) = recorded {
                    return Err(asked::name_the_locked(error, watching).await);
                }
            }
            () = cancel.cancelled() => return Err(DumpError::Cancelled { database: request.database.to_owned() }),
        }
    }
    Ok(writer)
}

/// Starts the thread that carries the bytes. `signals`: what it says when they begin, and when it cannot go on.
fn spawn_pump(
    request: &DumpRequest<'_>,
    stdout: std::os::fd::OwnedFd,
    writer: ArtifactWriter,
    total: Option<u64>,
    (began, stop): (&CancellationToken, &CancellationToken),
    events: &StepEvents,
) -> JoinHandle<Result<Pumped, PumpError>> {
    let (began, stop) = (began.clone(), stop.clone());
    let (database, events) = (request.database.to_owned(), events.clone());
    tokio::task::spawn_blocking(move || {
        let progress = Progress { events: &events, database: &database, total };
        let pumped = pump::run(stdout, writer, || began.cancel(), &progress);
        // At the end of the stream its source is ending by itself, and how it ends is the cause.
        if matches!(pumped, Err(PumpError::Syntax(_) | PumpError::Stream(_))) {
            stop.cancel();
        }
        pumped
    })
}

/// What everybody who took part has to say.
struct Verdict {
    end: Result<ProcessEnd, DumpError>,
    watched: Result<(), DumpError>,
    counted: Result<Vec<u64>, PostgresError>,
    pumped: Result<Pumped, PumpError>,
}

impl Verdict {
    /// The first cause in the order in which one brings about the other: a stopped dump has a cut stream too.
    fn decide(
        self,
        database: &str,
        stderr: &str,
        session_lost: bool,
        cancel: &CancellationToken,
    ) -> Result<(ProcessEnd, Vec<u64>, Pumped), DumpError> {
        let database = database.to_owned();
        if cancel.is_cancelled() {
            return Err(DumpError::Cancelled { database });
        }
        if let Err(PumpError::Stream(error)) = self.pumped {
            return Err(error.into());
        }
        if let Ok(end) = &self.end
            && !end.is_success()
            && !matches!(self.watched, Err(DumpError::Blocking { .. } | DumpError::Changed { .. }))
        {
            let retry = session_lost || tool::may_pass(*end, stderr);
            return Err(DumpError::Failed { database, end: *end, stderr: stderr.to_owned(), retry });
        }
        self.watched?;
        let counted = self.counted?;
        // A stream that cannot be read stopped the dump; so it comes before the end of the dump.
        let pumped = self.pumped.map_err(|e| e.of(&database))?;
        Ok((self.end?, counted, pumped))
    }
}

async fn finish(writer: ArtifactWriter, end: ProcessEnd) -> Result<PackedArtifact, DumpError> {
    let name = writer.name().to_owned();
    let finished = tokio::task::spawn_blocking(move || writer.finish(SourceEnd::Process(end))).await;
    finished.map_err(|_| DumpError::Thread { database: name })?.map_err(DumpError::from)
}

/// Removes a finished artifact whose companions could not be written.
fn discard(staging: &Path, packed: &PackedArtifact) {
    for file in [&packed.packed.file, &packed.contents.file] {
        // The run fails anyway, and its staging directory is swept.
        let _ = files::remove_file(&staging.join(file));
    }
}
