//! Upkeep against real servers and real files: what is done is proved, what is not is said, and nobody waits for it.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use maint::{
    adapters::clock,
    model::{
        event::{Event, EventSink, StepEvents},
        finding::{Band, Finding},
        secret::Secret,
        stack::{PostgresServer, Stack},
    },
    steps::{Step, StepContext, StepError, StepReport},
};
use tokio_util::sync::CancellationToken;

#[path = "support/docker.rs"]
mod docker;
#[path = "upkeep/indexes.rs"]
mod indexes;
#[path = "upkeep/logs.rs"]
mod logs;
#[path = "upkeep/logs_live.rs"]
mod logs_live;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "upkeep/prune.rs"]
mod prune;
#[path = "upkeep/shipped.rs"]
mod shipped;
#[path = "upkeep/tables.rs"]
mod tables;

use postgres::Cluster;

/// A step's surroundings, and what it says on the way.
struct Stage {
    dir: tempfile::TempDir,
    context: StepContext,
    said: Arc<Mutex<Vec<String>>>,
}

impl Stage {
    fn new(server: PostgresServer) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let stack = postgres::stack(dir.path(), server);
        Self::with(dir, stack)
    }

    fn with(dir: tempfile::TempDir, stack: Arc<Stack>) -> Self {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let sink = EventSink::new(move |event| match event {
            Event::Progress { doing, .. } => heard.lock().unwrap().push(doing),
            Event::Note { text, .. } => heard.lock().unwrap().push(text),
            _ => {}
        });
        let step: maint::model::ids::StepId = "upkeep".parse().unwrap();
        let context = StepContext {
            stack,
            jobs: Arc::default(),
            job: "weekly".parse().unwrap(),
            run: clock::run_id(),
            started: clock::now(),
            step: step.clone(),
            period: "202608".into(),
            staging: dir.path().join("staging"),
            earlier: [].into(),
            host_secret: Secret::new("a secret of this host".into()),
            cancel: CancellationToken::new(),
            events: StepEvents::new(sink, step),
        };
        Self { dir, context, said }
    }

    /// A stage for steps that ask no server.
    fn files() -> Self {
        Self::docker("unix:///nonexistent/docker.sock")
    }

    /// A stage for steps that ask an engine.
    fn docker(host: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = PostgresServer {
            name: "none".into(),
            address: maint::model::stack::PostgresAddress::Socket { dir: "/nonexistent".into(), port: 1 },
            tools_in: None,
            user: "nobody".into(),
            dbname: "none".into(),
            password: None,
            sslmode: maint::model::stack::SslMode::Disable,
            sslrootcert: None,
            bin_dir: None,
            lock_timeout: std::time::Duration::from_secs(1),
        };
        let mut stack = Arc::unwrap_or_clone(postgres::stack(dir.path(), server));
        stack.docker.host = host.to_owned();
        Self::with(dir, Arc::new(stack))
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a step, e.g. `vacuum = { server = "production" }`.
    async fn try_run(&self, step: &str) -> Result<StepReport, StepError> {
        #[derive(serde::Deserialize)]
        struct Holder {
            r#do: Step,
        }
        let Holder { r#do: step } = toml::from_str(&format!("do.{step}")).unwrap();
        assert_eq!(step.problems(&self.context.stack), []);
        assert!(!step.plan(&self.context.stack).is_empty());
        step.run(&self.context).await
    }

    async fn run(&self, step: &str) -> StepReport {
        self.try_run(step).await.unwrap()
    }

    /// What it said on the way.
    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }
}

/// The finding about something; fails the test where there is none.
#[track_caller]
fn about<'a>(report: &'a StepReport, subject: &str) -> &'a Finding {
    let found = report.findings.iter().find(|f| f.subject == subject);
    found.unwrap_or_else(|| panic!("nothing about {subject}: {:#?}", report.findings))
}

/// Everything that is not fine, as `band subject: seen`.
fn bad(report: &StepReport) -> Vec<String> {
    let bad = report.findings.iter().filter(|f| f.band > Band::Good);
    bad.map(|f| format!("{} {}: {}", f.band, f.subject, f.seen)).collect()
}

/// Types the last command of a finding's hint into a shell.
#[track_caller]
fn typed(finding: &Finding) -> String {
    let hint = finding.hint.as_deref().unwrap();
    let command = hint.rsplit(": ").next().unwrap();
    let output = std::process::Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A psql that holds a transaction open until it is dropped.
struct Open(std::process::Child);

impl Open {
    fn new(cluster: &Cluster, dbname: &str, application: &str, sql: &str) -> Self {
        let mut psql = cluster.tool("psql", dbname);
        psql.env("PGAPPNAME", application).args(["-Xqt", "-v", "ON_ERROR_STOP=1"]);
        psql.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
        let mut child = psql.spawn().unwrap();
        std::io::Write::write_all(child.stdin.as_mut().unwrap(), sql.as_bytes()).unwrap();
        let asked = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' \
             AND state = 'idle in transaction'"
        );
        project::wait_for("the transaction is open", || cluster.psql(dbname, &asked) == "1");
        Self(child)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
