//! `analyze`: statistics of every table of a database.

use schemars::JsonSchema;
use serde::Deserialize;

use super::vacuum::{jobs_problem, lock_timeout, two};
use crate::{
    model::{span::Span, stack::Stack},
    steps::{Problem, StepContext, StepError, StepKind, StepReport, parameters::unknown_server},
    upkeep::tables::{self, TablesRequest, Work},
};

/// ANALYZE of every table of a database, each with its own result. Tables that were analysed since the run began, by a
/// `vacuum` step or by autovacuum, are not read again.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Analyze {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// The database. Default: the server's `dbname`.
    #[serde(default)]
    database: Option<String>,
    /// How many tables at once. Default: 2.
    #[serde(default = "two")]
    jobs: u32,
    /// Whether tables are read again that were analysed since the run began. Default: false.
    #[serde(default)]
    again: bool,
    /// How long a locked table is waited for at the end. Default: `"5s"`.
    #[serde(default = "lock_timeout")]
    lock_timeout: Span,
    /// `schema.table` of tables to leave alone.
    #[serde(default)]
    exclude: Vec<String>,
}

impl StepKind for Analyze {
    const SUMMARY: &'static str = "Makes the statistics of every table of a database anew";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let problems = [unknown_server(stack, &self.server), jobs_problem(self.jobs)];
        problems.into_iter().flatten().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let database = super::named_database(stack, &self.server, self.database.as_ref());
        let recent = if self.again { "" } else { " that was not analysed since the run began" };
        vec![format!("ANALYZE every table of {database} on {}{recent}, {} at once", self.server, self.jobs)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = super::server(&context.stack, &self.server)?;
        let request = TablesRequest {
            server,
            docker: &context.stack.docker,
            database: super::database(server, self.database.as_ref()),
            work: Work::Analyze { since: (!self.again).then_some(context.started) },
            jobs: self.jobs,
            lock_timeout: self.lock_timeout.0,
            exclude: &self.exclude,
        };
        Ok(super::report(tables::maintain(&request, &context.cancel, &context.events).await?))
    }
}
