//! `recommendations`: what would make the stack better.

use std::path::PathBuf;

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Series;
use crate::{
    model::{
        reports::{Report, advice::Recommendations as Document},
        stack::Stack,
        units::count,
    },
    reports::{
        ReportError,
        recommendations::{self, AdviceRequest},
        window::Window,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const MB: f64 = 1e6;

/// Looks for what would make the stack better: indexes that nobody uses or that are missing, tables that are read whole, the
/// cache, settings, slow statements, bloat, limits of containers, logs, backups that take longer and longer. Each with its
/// evidence and the exact command; nothing is changed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recommendations {
    /// Where the report lies: `<reports_dir>/<series>/<period>.html` and `.json`. Default: `recommendations`.
    #[serde(default)]
    series: Option<Series>,
    /// The PostgreSQL server, as `[postgres.<name>]` names it. Default: none is looked at.
    #[serde(default)]
    server: Option<String>,
    /// Its database. Default: the server's `dbname`.
    #[serde(default)]
    database: Option<String>,
    /// The Prometheus server that knows the containers. Default: the only one.
    #[serde(default)]
    prometheus: Option<String>,
    /// Whether containers are looked at, by the series of cAdvisor. Default: true.
    #[serde(default = "yes")]
    containers: bool,
    /// Directories with logs.
    #[serde(default)]
    logs: Vec<PathBuf>,
    /// From how many megabytes on a directory of logs is told. Default: 5000.
    #[serde(default = "five_gigabytes")]
    logs_mb: f64,
    /// Of statistics of fewer days nothing is said about what was not used. Default: 30.
    #[serde(default = "thirty")]
    least_days: u16,
    /// Indexes below so many megabytes are let be. Default: 1.
    #[serde(default = "one")]
    index_mb: f64,
    /// Tables and indexes below so many megabytes are not looked at for bloat. Default: 10.
    #[serde(default = "ten")]
    bloat_mb: f64,
    /// The share of air from which on it is told, in percent. Default: 50.
    #[serde(default = "fifty")]
    bloat: f64,
    /// The share of blocks that should be found in the cache, in percent. Default: 99.
    #[serde(default = "ninety_nine")]
    cache_hit: f64,
    /// Milliseconds from which on a statement is slow on average. Default: 100.
    #[serde(default = "hundred")]
    slow_ms: f64,
    /// How much more than its peak a container may have, in percent. Default: 15.
    #[serde(default = "fifteen")]
    headroom: f64,
}

fn yes() -> bool {
    true
}

fn five_gigabytes() -> f64 {
    5000.0
}

fn thirty() -> u16 {
    30
}

fn one() -> f64 {
    1.0
}

fn ten() -> f64 {
    10.0
}

fn fifty() -> f64 {
    50.0
}

fn ninety_nine() -> f64 {
    99.0
}

fn hundred() -> f64 {
    100.0
}

fn fifteen() -> f64 {
    15.0
}

/// Megabytes in bytes.
fn bytes(megabytes: f64) -> u64 {
    format!("{:.0}", (megabytes * MB).clamp(0.0, 9e15)).parse().unwrap_or(0)
}

impl StepKind for Recommendations {
    const SUMMARY: &'static str =
        "Recommends what would make the stack better, each with its evidence and the exact command";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = Vec::new();
        if let Some(name) = self.server.as_ref().filter(|name| !stack.postgres.contains_key(*name)) {
            let known: Vec<_> = stack.postgres.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let message = format!("there is no [postgres.{name}] in maint.toml; it has: {known}");
            problems.push(Problem { key: "server", message });
        }
        if self.containers {
            problems.extend(super::unknown_prometheus(stack, self.prometheus.as_ref()));
        }
        problems
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let mut lines: Vec<_> =
            self.server.iter().map(|server| format!("look at the statistics of {server}")).collect();
        lines.extend(self.containers.then(|| "look at what containers used of their limits".to_owned()));
        lines.extend(self.logs.iter().map(|dir| format!("look at how much room logs take below {}", dir.display())));
        lines.push("look at how long backups took".into());
        lines
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let stack = &context.stack;
        let server = self.server.as_ref().and_then(|name| stack.postgres.get(name));
        let logs: Vec<_> = self.logs.iter().map(|dir| stack.root.join(dir)).collect();
        let now = context.started;
        let request = AdviceRequest {
            stack,
            jobs: &context.jobs,
            server,
            database: self.database.as_deref().or(server.map(|server| server.dbname.as_str())).unwrap_or_default(),
            prometheus: self.prometheus.as_deref(),
            containers: self.containers,
            logs: &logs,
            log_limit: bytes(self.logs_mb),
            least_history: TimeDelta::days(i64::from(self.least_days)),
            least_index: bytes(self.index_mb),
            least_bloat: bytes(self.bloat_mb),
            bloat: self.bloat,
            cache_hit: self.cache_hit,
            slow: self.slow_ms,
            headroom: self.headroom,
            now,
        };
        let areas = tokio::select! {
            looked = recommendations::look(&request) => looked,
            () = context.cancel.cancelled() => return Err(ReportError::Stopped.into()),
        };
        let zone = super::zone(context);
        let window = Window { period: super::made_in(now, zone), from: now - TimeDelta::days(30), to: now };
        let head = super::head(context, "Recommendations", &window);
        let document = Document { head, areas };
        let summary = count(document.findings().count() as u64, "recommendation");
        let series = Series::named(self.series.as_ref(), "recommendations")?;
        super::published(context, &series, &Report::Recommendations(document), &summary)
    }
}
