//! Where a drill runs: a throwaway server that a hostile dump cannot get out of.
//!
//! A dump is a program: its functions run while it is read, and the superuser that reads it may start any other. So the
//! server is in a cage, in a container without a network, or one that the operator named and answers for.

mod error;
mod scratch;

use std::{
    future::Future,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

pub use error::PlaceError;
pub use scratch::{Scratch, Swept, dead, sweep};

use crate::{
    adapters::{
        cage::{Cage, CageError},
        docker::Docker,
        files,
        postgres::{
            PostgresError, Session,
            throwaway::{self, Confinement, Contained, Image, Recipe, RunAs, Throwaway},
        },
    },
    model::{
        failure::{Class, Diagnose},
        stack::{self, DrillSettings, PostgresServer},
    },
};

/// Free space that a drill leaves to others.
pub const FLOOR: u64 = 256 << 20;
/// What an empty server and its write-ahead log take.
const EMPTY_SERVER: u64 = 128 << 20;
/// How often the free space is looked at: no disk fills the floor meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What a drill needs.
#[derive(Debug, Clone, Default)]
pub struct Need {
    /// The source's `server_version_num`.
    pub version_num: u32,
    /// What the restored data will take.
    pub bytes: u64,
    /// The source's `shared_preload_libraries` that restored objects need.
    pub preload: Vec<String>,
    /// The image of the source's container, where it runs in one.
    pub image: Option<String>,
    /// The source's system identifier; empty: unknown.
    pub system_identifier: String,
}

impl Need {
    fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

/// What kind of place it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// This host's programs.
    Local,
    /// A container of this image.
    Container(String),
    /// A server of `maint.toml`.
    Server(String),
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Container(image) => write!(f, "container {image}"),
            Self::Server(name) => write!(f, "server {name}"),
        }
    }
}

#[derive(Debug)]
enum Host {
    Local(Box<Throwaway>),
    Container(Contained),
    Named(Box<PostgresServer>),
}

/// A place that stands until [`strike`](Self::strike), or until it is dropped. Whatever ends maint, nothing of it stays
/// running, or is swept by the next run.
#[derive(Debug)]
pub struct Place {
    // Before the scratch directory: a server ends before its data is removed.
    host: Host,
    scratch: Option<Scratch>,
    kind: Kind,
    isolation: String,
}

impl Place {
    /// Picks the place by the settings and the need, checks its version and space, and starts its server.
    ///
    /// # Errors
    /// When the drill could not run; its class is `Unverifiable`, or `Interrupted`.
    pub async fn prepare(
        settings: &DrillSettings,
        docker: &stack::Docker,
        need: &Need,
        cancel: &CancellationToken,
    ) -> Result<Self, PlaceError> {
        if let Some(server) = &settings.server {
            return Self::named(server, docker, need).await;
        }
        scratch::make(&settings.scratch_dir)?;
        let (free, wanted) = (files::free_space(&settings.scratch_dir)?, wanted(need.bytes));
        if free < wanted {
            return Err(PlaceError::NoSpace { dir: settings.scratch_dir.clone(), free, need: wanted });
        }
        if let Some(image) = &settings.image {
            return Self::contained(settings, docker, image, need, cancel).await;
        }
        match &need.image {
            Some(image) => match Self::contained(settings, docker, image, need, cancel).await {
                // The image of a running container can be gone; this host's programs may do as well.
                Err(PlaceError::NoImage { .. }) => Self::local(settings, need, cancel).await,
                other => other,
            },
            None => Self::local(settings, need, cancel).await,
        }
    }

    async fn local(settings: &DrillSettings, need: &Need, cancel: &CancellationToken) -> Result<Self, PlaceError> {
        let bin_dir = programs(settings, need.major(), cancel).await?;
        let scratch = Scratch::create(&settings.scratch_dir)?;
        let (confinement, isolation) = confine(settings, scratch.dir(), &bin_dir, cancel).await?;
        let recipe = Recipe {
            dir: scratch.dir().to_owned(),
            bin_dir: Some(bin_dir),
            run_as: match confinement {
                Confinement::Cage(_) => None,
                _ => RunAs::unprivileged(cancel).await.map_err(PlaceError::Start)?,
            },
            superuser: superuser(),
            initdb_options: vec!["--locale=C".into()],
            settings: throwaway::drill_settings(&need.preload),
        };
        let server = Throwaway::start_in(&recipe, confinement, cancel).await.map_err(PlaceError::Start)?;
        let host = Host::Local(Box::new(server));
        Ok(Self { host, scratch: Some(scratch), kind: Kind::Local, isolation })
    }

    async fn contained(
        settings: &DrillSettings,
        docker: &stack::Docker,
        image: &str,
        need: &Need,
        cancel: &CancellationToken,
    ) -> Result<Self, PlaceError> {
        let engine = Docker::connect(&docker.host).await?;
        if !engine.has_image(image).await? {
            return Err(PlaceError::NoImage { image: image.to_owned() });
        }
        let scratch = Scratch::create(&settings.scratch_dir)?;
        let order = Image {
            dir: scratch.dir().to_owned(),
            image: image.to_owned(),
            label: scratch.label(),
            superuser: superuser(),
            settings: throwaway::drill_settings(&need.preload),
            nice: settings.nice,
        };
        let server = Contained::start(&engine, &order, cancel).await.map_err(PlaceError::Start)?;
        let kind = Kind::Container(image.to_owned());
        let isolation = "container: no network, no capabilities, no new privileges, read-only image".to_owned();
        let place = Self { host: Host::Container(server), scratch: Some(scratch), kind, isolation };
        match check_major(&place.server("postgres"), docker, need, &place.kind).await {
            Ok(()) => Ok(place),
            Err(error) => {
                place.strike().await;
                Err(error)
            }
        }
    }

    async fn named(server: &PostgresServer, docker: &stack::Docker, need: &Need) -> Result<Self, PlaceError> {
        let kind = Kind::Server(server.name.clone());
        check_major(server, docker, need, &kind).await?;
        let identifier = async {
            let session = Session::connect(server, docker, &server.dbname, "maint drill").await?;
            let row = session.one("asking for its identifier", IDENTIFIER, &[]).await?;
            Ok::<String, PostgresError>(row.get(0))
        };
        let asked = identifier.await.map_err(|source| unasked(&server.name, source))?;
        if asked == need.system_identifier {
            return Err(PlaceError::SameServer { name: server.name.clone() });
        }
        let isolation = format!("scratch server {} (its own isolation is the operator's)", server.name);
        Ok(Self { host: Host::Named(Box::new(server.clone())), scratch: None, kind, isolation })
    }

    /// How maint connects to it: as a superuser, except to a server of `maint.toml`.
    pub fn server(&self, dbname: &str) -> PostgresServer {
        match &self.host {
            Host::Local(server) => server.server("drill", dbname),
            Host::Container(server) => server.server("drill", dbname),
            Host::Named(server) => PostgresServer { dbname: dbname.to_owned(), ..PostgresServer::clone(server) },
        }
    }

    /// What keeps the dump in, in words, for the evidence.
    pub fn isolation(&self) -> &str {
        &self.isolation
    }

    /// What kind of place it is.
    pub fn kind(&self) -> &Kind {
        &self.kind
    }

    /// The last lines of its server's log, for the error of a drill whose server went away.
    pub async fn said(&self) -> String {
        match &self.host {
            Host::Local(server) => server.said(),
            Host::Container(server) => server.said().await,
            Host::Named(_) => String::new(),
        }
    }

    /// Ends with an error when free space falls under the floor; never on a server of `maint.toml`.
    pub fn shortage(&self) -> impl Future<Output = PlaceError> + Send + 'static + use<> {
        let dir = self.scratch.as_ref().map(|scratch| scratch.dir().to_owned());
        async move {
            let Some(dir) = dir else { return std::future::pending().await };
            loop {
                match files::free_space(&dir) {
                    Ok(free) if free < FLOOR => return PlaceError::Shortage { dir: parent(&dir), free, floor: FLOOR },
                    Ok(_) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(error) => return error.into(),
                }
            }
        }
    }

    /// Stops and removes everything.
    pub async fn strike(self) {
        match self.host {
            Host::Local(server) => server.stop().await,
            Host::Container(server) => {
                if let (Err(error), Some(scratch)) = (server.stop().await, self.scratch) {
                    tracing::warn!(%error, "the drill's container stays until the next run sweeps it");
                    scratch.leave();
                }
            }
            Host::Named(_) => {}
        }
    }
}

/// The free space without which nothing so large is begun.
fn wanted(bytes: u64) -> u64 {
    bytes.saturating_add(EMPTY_SERVER + FLOOR)
}

/// Whether the scratch directory has room for a server and what is beside it, together so large.
///
/// # Errors
/// When the scratch directory cannot be made or asked.
pub fn has_room(settings: &DrillSettings, bytes: u64) -> Result<bool, PlaceError> {
    scratch::make(&settings.scratch_dir)?;
    Ok(files::free_space(&settings.scratch_dir)? >= wanted(bytes))
}

const IDENTIFIER: &str = "SELECT system_identifier::text FROM pg_control_system()";

fn unasked(name: &str, source: PostgresError) -> PlaceError {
    PlaceError::Server { name: name.to_owned(), source: Box::new(source) }
}

fn parent(dir: &Path) -> PathBuf {
    dir.parent().unwrap_or(dir).to_owned()
}

/// A name that no dump can mean: its globals may well create `postgres`.
fn superuser() -> String {
    let id = crate::adapters::clock::run_id().0.simple().to_string();
    format!("maint_drill_{}", id.get(16..).unwrap_or(&id))
}

/// The newest programs of exactly this major version: a dump of another one is not restored as it would be in earnest.
async fn programs(settings: &DrillSettings, wanted: u32, cancel: &CancellationToken) -> Result<PathBuf, PlaceError> {
    let (installed, looked_in) = throwaway::installed(settings.bin_dir.as_deref(), cancel).await;
    let found = installed.iter().map(|(version, _)| version.text.clone()).collect();
    throwaway::newest(installed, |version| version.major() == wanted).ok_or(PlaceError::NoMajor {
        wanted,
        found,
        looked_in,
    })
}

/// A cage, or, where none can be had and the operator allows it, none; with what to say of it.
async fn confine(
    settings: &DrillSettings,
    dir: &Path,
    bin_dir: &Path,
    cancel: &CancellationToken,
) -> Result<(Confinement, String), PlaceError> {
    match Cage::prepare(dir, &beside(bin_dir), settings.nice, cancel).await {
        Ok(cage) => {
            let isolation = cage.describe();
            Ok((Confinement::Cage(cage), isolation))
        }
        Err(error) if settings.allow_unisolated && error.class() == Class::Unverifiable => {
            tracing::warn!(%error, "the drill runs without isolation, as allow_unisolated says");
            Ok((Confinement::Leash { nice: settings.nice }, "none (allow_unisolated)".into()))
        }
        Err(error) => Err(error.into()),
    }
}

/// What programs outside of /usr need of their own installation.
fn beside(bin_dir: &Path) -> Vec<PathBuf> {
    if bin_dir.starts_with("/usr") {
        return Vec::new();
    }
    let Some(prefix) = bin_dir.parent().filter(|prefix| prefix.parent().is_some()) else { return Vec::new() };
    let mut dirs: Vec<PathBuf> = ["lib", "lib64", "share"].iter().map(|name| prefix.join(name)).collect();
    dirs.push(bin_dir.to_owned());
    dirs
}

async fn check_major(
    server: &PostgresServer,
    docker: &stack::Docker,
    need: &Need,
    kind: &Kind,
) -> Result<(), PlaceError> {
    let asked = async {
        let session = Session::connect(server, docker, &server.dbname, "maint drill").await?;
        let state = session.state().await?;
        session.close().await;
        Ok(state.version_num / 10_000)
    };
    let found = asked.await.map_err(|source| match kind {
        Kind::Server(name) => unasked(name, source),
        _ => PlaceError::Start(source),
    })?;
    if found == need.major() {
        return Ok(());
    }
    Err(PlaceError::OtherMajor { place: kind.to_string(), found, wanted: need.major() })
}

/// Whether drills could run on this host, for `maint doctor`. Nothing is left.
///
/// # Errors
/// When none could; the error says why.
pub async fn rehearse(
    settings: &DrillSettings,
    docker: &stack::Docker,
    cancel: &CancellationToken,
) -> Result<String, PlaceError> {
    if let Some(server) = &settings.server {
        let asked = Session::connect(server, docker, &server.dbname, "maint doctor").await;
        let session = asked.map_err(|source| unasked(&server.name, source))?;
        session.close().await;
        return Ok(format!("restores into [postgres.{}], whose isolation is the operator's", server.name));
    }
    if let Some(image) = &settings.image {
        let engine = Docker::connect(&docker.host).await?;
        return match engine.has_image(image).await? {
            true => Ok(format!("restores into a container of {image}, without a network")),
            false => Err(PlaceError::NoImage { image: image.clone() }),
        };
    }
    let isolation = match Cage::available(&std::env::temp_dir(), cancel).await {
        Ok(isolation) => isolation,
        Err(error) if settings.allow_unisolated && !matches!(error, CageError::File(_)) => {
            "no isolation (allow_unisolated)".into()
        }
        Err(error) => return Err(error.into()),
    };
    let (installed, looked_in) = throwaway::installed(settings.bin_dir.as_deref(), cancel).await;
    if installed.is_empty() {
        return Err(PlaceError::NoPrograms { looked_in });
    }
    let versions: Vec<String> = installed.iter().map(|(version, _)| version.major().to_string()).collect();
    Ok(format!("{isolation}; PostgreSQL {}", versions.join(", ")))
}
