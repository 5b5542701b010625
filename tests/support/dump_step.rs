//! Runs a `postgres_dump` step against a test cluster, and looks at what it leaves.

#![expect(clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use maint::{
    adapters::clock,
    model::{
        event::{EventSink, StepEvents},
        failure::{Class, Diagnose, chain},
        secret::Secret,
        stack::PostgresServer,
    },
    steps::{Step, StepContext, StepError, StepReport},
};
use tokio_util::sync::CancellationToken;

use super::postgres;

/// A step's surroundings: a staging directory and a stack with one server.
pub struct Stage {
    _dir: tempfile::TempDir,
    pub context: StepContext,
}

impl Stage {
    pub fn new(server: PostgresServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let staging = dir.path().join("staging");
        fs::create_dir(&staging).unwrap();
        Self::at(dir, staging, server)
    }

    pub fn at(dir: tempfile::TempDir, staging: PathBuf, server: PostgresServer) -> Self {
        let step: maint::model::ids::StepId = "db".parse().unwrap();
        let context = StepContext {
            stack: postgres::stack(dir.path(), server),
            jobs: std::sync::Arc::default(),
            job: "backup".parse().unwrap(),
            run: clock::run_id(),
            started: clock::now(),
            step: step.clone(),
            period: "202608".into(),
            staging,
            earlier: [].into(),
            host_secret: Secret::new("a secret of this host".into()),
            cancel: CancellationToken::new(),
            events: StepEvents::new(EventSink::none(), step),
        };
        Self { _dir: dir, context }
    }

    /// Runs the step with these parameters (TOML, without `server`).
    pub async fn run(&self, parameters: &str) -> Result<StepReport, StepError> {
        let text = format!("[postgres_dump]\nserver = \"production\"\n{parameters}\n");
        let step: Step = toml::from_str(&text).unwrap();
        assert_eq!(step.problems(&self.context.stack), []);
        step.run(&self.context).await
    }

    /// Runs the step, which must fail; gives its class and its whole message, and sees to it that nothing is left.
    pub async fn fails(&self, parameters: &str) -> (Class, String) {
        let error = self.run(parameters).await.expect_err("the step should have failed");
        assert_eq!(self.files(), Vec::<String>::new(), "left behind by: {}", chain(&error));
        let hint = error.hint().map(|hint| format!(" [hint: {hint}]")).unwrap_or_default();
        (error.class(), chain(&error) + &hint)
    }

    /// The files in staging, by name.
    pub fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.context.staging).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// A directory with a `pg_dump` of our own: a fault double around the real one, which the script has as `$REAL`.
pub fn pg_dump_double(real: &Path, script: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pg_dump");
    let real = real.join("pg_dump");
    let version = "case \"$1\" in --version) exec \"$REAL\" --version;; esac";
    fs::write(&path, format!("#!/bin/sh\nREAL={}\n{version}\n{script}\n", real.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Stops a `pg_dump` of the cluster in mid-stream: it has written some, and holds its locks.
pub async fn freeze_pg_dump(cluster: &postgres::Cluster) -> u32 {
    let socket = cluster.socket_dir().to_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        for pid in pids_of("pg_dump", &socket) {
            if written(pid) > 1 << 20 {
                signal(pid, "STOP");
                return pid;
            }
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("no pg_dump was seen in mid-stream");
}

/// Processes with this program and this text in their arguments.
pub fn pids_of(program: &str, text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let fits = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).into_owned();
        command.split('\0').next().is_some_and(|p| p.ends_with(program)) && command.contains(text)
    };
    pids.filter(fits).collect()
}

fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let count = io.lines().find_map(|line| line.strip_prefix("wchar: ")?.parse().ok());
    count.unwrap_or(0)
}

pub fn signal(pid: u32, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}
