//! Captures databases of test clusters, and loads and compares them with `backup::load`.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]
#![allow(dead_code, clippy::allow_attributes, reason = "every test binary uses its own part")]

use std::{fs, path::PathBuf, sync::Arc};

use maint::{
    adapters::{clock, postgres::Session},
    backup::load::{self, Compared, DumpFiles, LoadError, LoadOptions, Loaded},
    model::{
        event::{EventSink, StepEvents},
        manifest::{Artifact, Source},
        secret::Secret,
        stack::{Docker, PostgresServer},
    },
    steps::{Step, StepContext},
};
use tokio_util::sync::CancellationToken;

use super::postgres::{self, Cluster};

/// An artifact in a staging directory of its own.
pub struct Captured {
    pub staging: tempfile::TempDir,
    pub artifact: Artifact,
}

impl Captured {
    pub fn files(&self) -> DumpFiles {
        DumpFiles { artifact: self.path(&self.artifact.packed.file), contents: self.contents() }
    }

    pub fn contents(&self) -> PathBuf {
        self.path(&self.artifact.contents.file)
    }

    pub fn properties(&self) -> PathBuf {
        self.path(&self.artifact.companions[0].file)
    }

    fn path(&self, file: &str) -> PathBuf {
        self.staging.path().join(file)
    }
}

/// Captures with a step of this kind and these options (TOML).
pub async fn capture(server: PostgresServer, kind: &str, options: &str) -> Captured {
    let staging = tempfile::tempdir().unwrap();
    let stack = postgres::stack(staging.path(), server);
    let parsed: Step = toml::from_str(&format!("[{kind}]\nserver = \"production\"\n{options}\n")).unwrap();
    let step: maint::model::ids::StepId = "db".parse().unwrap();
    let dir = staging.path().join("staging");
    fs::create_dir(&dir).unwrap();
    let context = StepContext {
        stack: Arc::clone(&stack),
        jobs: std::sync::Arc::default(),
        job: "backup".parse().unwrap(),
        run: clock::run_id(),
        started: clock::now(),
        step: step.clone(),
        period: "202608".into(),
        staging: staging.path().to_owned(),
        earlier: [].into(),
        host_secret: Secret::new("a secret of this host".into()),
        cancel: CancellationToken::new(),
        events: StepEvents::new(EventSink::none(), step),
    };
    let mut report = parsed.run(&context).await.unwrap();
    Captured { staging, artifact: report.artifacts.remove(0) }
}

pub async fn dump(cluster: &Cluster, database: &str, options: &str) -> Captured {
    capture(cluster.server(database), "postgres_dump", options).await
}

/// Makes the captured database anew on another cluster, empty.
pub fn createdb(target: &Cluster, captured: &Captured, name: &str) {
    let Source::PostgresDatabase(facts) = &captured.artifact.source else { panic!("no database") };
    let created = target.tool("createdb", "postgres").args(&facts.createdb_options).arg(name).output().unwrap();
    assert!(created.status.success(), "{created:?}");
}

/// A future that may move between threads.
fn spawnable<T: Send>(future: T) -> T {
    future
}

/// Options for a database of a cluster.
pub struct Target {
    pub server: PostgresServer,
    pub docker: Docker,
    pub name: String,
}

impl Target {
    pub fn new(cluster: &Cluster, name: &str) -> Self {
        Self { server: cluster.server(name), docker: postgres::docker(), name: name.into() }
    }

    pub fn options(&self, jobs: usize) -> LoadOptions<'_> {
        let Self { server, docker, name } = self;
        LoadOptions { server, docker, dbname: name, jobs, tablespaces: true, settings: &[], only: None }
    }

    pub async fn load(&self, captured: &Captured, jobs: usize) -> Result<Loaded, LoadError> {
        let (options, files, never) = (self.options(jobs), captured.files(), CancellationToken::new());
        spawnable(load::database(&options, &files, &never, &|_, _, _| {})).await
    }

    pub async fn compare(&self, captured: &Captured, jobs: usize) -> Compared {
        let never = CancellationToken::new();
        let (options, contents) = (self.options(jobs), captured.contents());
        spawnable(load::compare(&options, &contents, &never, &|_, _, _| {})).await.unwrap()
    }

    pub async fn session(&self) -> Session {
        Session::connect(&self.server, &self.docker, &self.name, "test").await.unwrap()
    }
}

/// Loads into a database of its own, which must then be as it was captured.
pub async fn round_trip(source: &Cluster, target: &Cluster, database: &str, jobs: usize, options: &str) -> Loaded {
    let captured = dump(source, database, options).await;
    let name = format!("{database} {jobs}{}", options.len());
    createdb(target, &captured, &name);
    let to = Target::new(target, &name);
    let loaded = to.load(&captured, jobs).await.unwrap_or_else(|e| panic!("{}", maint::model::failure::chain(&e)));
    let compared = to.compare(&captured, jobs).await;
    assert_eq!(compared.differences, Vec::<String>::new());
    assert_eq!(
        (Some(compared.tables), Some(compared.rows)),
        (captured.artifact.counts.tables, captured.artifact.counts.rows)
    );
    assert_eq!((compared.tables, compared.rows), (loaded.tables, loaded.rows));
    loaded
}

/// A difference of two long texts, shown by its first lines.
pub fn assert_same(what: &str, ours: &str, theirs: &str) {
    let differing: Vec<_> = ours.lines().zip(theirs.lines()).filter(|(a, b)| a != b).take(5).collect();
    assert!(ours == theirs, "{what} differ ({} and {} bytes), first lines: {differing:#?}", ours.len(), theirs.len());
}
