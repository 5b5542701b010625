//! The demo's stage: a throwaway server with sample data, a configuration tree, a Docker volume where one can be had.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::super::Failure;
use crate::{
    adapters::{
        clock,
        docker::Docker,
        files::{self, FileError},
        postgres::throwaway::{Recipe, RunAs, Throwaway},
        process::{self, Invocation},
    },
    model::failure::chain,
};

const SAMPLE: &str = include_str!("sample.sql");
const SHIPPED_JOB: &str = include_str!("../../../jobs/monthly-backup.toml");
/// The shipped job's volume, and what it is called here: nobody's real volume is touched.
const VOLUME: (&str, &str) = ("leanvibe_orchestrator_data", "maint_demo_orchestrator_data");
const DOCKER: &str = "unix:///var/run/docker.sock";

/// The configuration tree: what the shipped job archives.
const CONFIGURATION: &[(&str, &str)] = &[
    ("deploy/production/config/orchestrator.yml", "workers: 8\nqueue: redis://redis-cluster-node1:6379\n"),
    ("deploy/production/config/nginx/site.conf", "server { listen 443 ssl; server_name your-domain; }\n"),
    ("deploy/production/config/Größe mit Leerzeichen.ini", "[a]\nb = c\n"),
    ("deploy/production/ssl/your-domain.crt", "(a sample, not a certificate)\n"),
    ("deploy/production/ssl/your-domain.key", "(a sample, not a key)\n"),
];

/// What the volume holds.
const APPLICATION: &[(&str, &str)] =
    &[("state/agents.json", "{\"agents\": 400}\n"), ("uploads/2026/11/report.txt", "all well\n"), ("empty", "")];

/// What stands until [`strike`](Self::strike).
pub(super) struct Stage {
    server: Throwaway,
    _server_dir: Scrap,
    volume: Option<Docker>,
    /// The configuration that the demo's commands use.
    pub(super) config: PathBuf,
    /// The server's version.
    pub(super) version: String,
    /// Why there is no volume, where there is none.
    pub(super) without_volume: Option<String>,
}

/// A directory that is gone with its owner.
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        // It lies in the temporary directory; the system clears what stays.
        let _ = files::remove_tree(&self.0);
    }
}

impl Stage {
    /// Starts the server, fills it, writes the configuration.
    pub(super) async fn set(dir: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        files::create_private_dir(dir)?;
        write_tree(dir, CONFIGURATION)?;
        // A directory of its own: another user runs the server, and must reach it.
        let server_dir = Scrap(std::env::temp_dir().join(format!("maint-demo-{}", clock::run_id())));
        files::create_private_dir(&server_dir.0)?;
        let recipe = Recipe {
            dir: server_dir.0.clone(),
            bin_dir: None,
            run_as: RunAs::unprivileged(cancel).await?,
            superuser: "postgres".into(),
            initdb_options: vec!["--locale=C.UTF-8".into()],
            settings: vec![("fsync".into(), "off".into())],
        };
        let server = Throwaway::start(&recipe, cancel).await?;
        let version = fill(&server, dir, cancel).await?;
        let (volume, without_volume) = match volume().await {
            Ok(engine) => (Some(engine), None),
            Err(reason) => (None, Some(reason)),
        };
        let config = configure(dir, &server, volume.is_some())?;
        Ok(Self { server, _server_dir: server_dir, volume, config, version, without_volume })
    }

    /// Takes everything down that was only there for the demo.
    pub(super) async fn strike(self) {
        if let Some(engine) = &self.volume {
            // A volume that stays is used again by the next demo.
            let _ = engine.remove_volume(VOLUME.1).await;
        }
        self.server.stop().await;
    }
}

fn write_tree(root: &Path, tree: &[(&str, &str)]) -> Result<(), FileError> {
    for (name, text) in tree {
        let path = root.join(name);
        files::create_private_dir(path.parent().unwrap_or(root))?;
        files::write_atomic(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Fills the server with the sample; gives its version.
async fn fill(server: &Throwaway, dir: &Path, cancel: &CancellationToken) -> Result<String, Failure> {
    let file = dir.join("sample.sql");
    files::write_atomic(&file, SAMPLE.as_bytes())?;
    let psql = |dbname: &str| {
        let psql = Invocation::new(server.bin_dir().join("psql"));
        psql.args(["-X", "-q", "-U", "postgres", "-d", dbname, "-h"]).arg(server.socket_dir())
    };
    process::output(&psql("postgres").arg("-f").arg(&file), cancel).await?;
    let ask = psql("leanvibe_production").args(["-A", "-t", "-c", "SHOW server_version"]);
    let version = process::output(&ask, cancel).await?;
    Ok(version.split_whitespace().next().unwrap_or("?").to_owned())
}

/// Writes maint.toml and the shipped job, with the volume's step only where there is a volume.
fn configure(dir: &Path, server: &Throwaway, volume: bool) -> Result<PathBuf, FileError> {
    let jobs = dir.join("jobs");
    files::create_private_dir(&jobs)?;
    let job = SHIPPED_JOB.replace(VOLUME.0, VOLUME.1);
    let steps: Vec<&str> = job.split("[[step]]").filter(|step| volume || !step.contains("volume_archive")).collect();
    files::write_atomic(&jobs.join("monthly-backup.toml"), steps.join("[[step]]").as_bytes())?;
    let text = format!(
        "# Written by `maint demo`; its server is gone when the demo has ended.\n\
         stack = \"demo\"\ntimezone = \"Europe/Berlin\"\nstate_dir = \"state\"\n\n\
         [postgres.production]\nsocket = {:?}\nbin_dir = {:?}\nuser = \"postgres\"\ndbname = \"leanvibe_production\"\n\n\
         [docker]\nhost = \"{DOCKER}\"\n\n\
         [drill]\nallow_unisolated = true    # the sample is maint's own; a cage is used where it can be had\n",
        server.socket_dir(),
        server.bin_dir(),
    );
    let config = dir.join("maint.toml");
    files::write_atomic(&config, text.as_bytes())?;
    Ok(config)
}

/// A volume with a few files, or why there is none.
async fn volume() -> Result<Docker, String> {
    if !Path::new(DOCKER.trim_start_matches("unix://")).exists() {
        return Err(format!("there is no Docker engine at {DOCKER}"));
    }
    let engine = Docker::connect(DOCKER).await.map_err(|e| chain(&e))?;
    engine.create_volume(VOLUME.1).await.map_err(|e| chain(&e))?;
    let volume = engine.volume(VOLUME.1).await.map_err(|e| chain(&e))?;
    write_tree(Path::new(&volume.mountpoint), APPLICATION).map_err(|e| chain(&e))?;
    Ok(engine)
}
