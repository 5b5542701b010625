//! `vacuum`: VACUUM and ANALYZE of every table of a database.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    model::{span::Span, stack::Stack},
    steps::{Problem, StepContext, StepError, StepKind, StepReport, parameters::unknown_server},
    upkeep::tables::{self, MOST_JOBS, TablesRequest, Work},
};

/// VACUUM (ANALYZE) of every table of a database, the largest first, each with its own result: done is what the server has
/// counted as done. A locked table makes nobody wait; it is tried again at the end.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vacuum {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// The database. Default: the server's `dbname`.
    #[serde(default)]
    database: Option<String>,
    /// How many tables at once. Default: 2.
    #[serde(default = "two")]
    jobs: u32,
    /// Whether statistics are made too. Default: true.
    #[serde(default = "yes")]
    analyze: bool,
    /// How long a locked table is waited for at the end. Nobody waits longer for maint. Default: `"5s"`.
    #[serde(default = "lock_timeout")]
    lock_timeout: Span,
    /// `schema.table` of tables to leave alone.
    #[serde(default)]
    exclude: Vec<String>,
}

pub(super) fn two() -> u32 {
    2
}

fn yes() -> bool {
    true
}

pub(super) fn lock_timeout() -> Span {
    Span(super::LOCK_TIMEOUT)
}

/// What is wrong with `jobs`.
pub(super) fn jobs_problem(jobs: u32) -> Option<Problem> {
    let wrong = !(1..=MOST_JOBS).contains(&jobs);
    wrong.then(|| Problem { key: "jobs", message: format!("expected 1 to {MOST_JOBS}, found {jobs}") })
}

impl StepKind for Vacuum {
    const SUMMARY: &'static str = "VACUUM (ANALYZE) of every table of a database, each with its own result";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let problems = [unknown_server(stack, &self.server), jobs_problem(self.jobs)];
        problems.into_iter().flatten().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let database = super::named_database(stack, &self.server, self.database.as_ref());
        let analyze = if self.analyze { "VACUUM (ANALYZE)" } else { "VACUUM" };
        let mut lines = vec![format!(
            "{analyze} every table of {database} on {}, {} at once, the largest first; a locked one is waited for {} at \
             the end",
            self.server, self.jobs, self.lock_timeout
        )];
        if !self.exclude.is_empty() {
            lines.push(format!("but not {}", self.exclude.join(", ")));
        }
        lines
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = super::server(&context.stack, &self.server)?;
        let request = TablesRequest {
            server,
            docker: &context.stack.docker,
            database: super::database(server, self.database.as_ref()),
            work: Work::Vacuum { analyze: self.analyze },
            jobs: self.jobs,
            lock_timeout: self.lock_timeout.0,
            exclude: &self.exclude,
        };
        Ok(super::report(tables::maintain(&request, &context.cancel, &context.events).await?))
    }
}
