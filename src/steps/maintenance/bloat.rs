//! `bloat`: sizes and bloat of a database.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    model::stack::Stack,
    steps::{
        Problem, StepContext, StepError, StepKind, StepReport,
        parameters::{Size, unknown_server},
    },
    upkeep::bloat::{self, BloatRequest},
};

/// The database's size, its largest tables, and how much of its tables and indexes is air, as the statistics tell. Nothing is
/// changed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BloatReport {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// The database. Default: the server's `dbname`.
    #[serde(default)]
    database: Option<String>,
    /// How many tables, and how many indexes. Default: 10.
    #[serde(default = "ten")]
    top: u32,
    /// Only what is at least this large is estimated. Default: `"10MB"`.
    #[serde(default = "ten_megabytes")]
    min_size: Size,
    /// The share of air from which on it is a warning, in percent. Default: 50.
    #[serde(default = "fifty")]
    warn: f64,
    /// How many tables are measured too, where the extension pgstattuple is installed; it reads them. Default: 3.
    #[serde(default = "three")]
    measure: u32,
}

fn ten() -> u32 {
    10
}

fn ten_megabytes() -> Size {
    Size(10_000_000)
}

fn fifty() -> f64 {
    50.0
}

fn three() -> u32 {
    3
}

impl StepKind for BloatReport {
    const SUMMARY: &'static str = "Tells the size of a database and how much of its tables and indexes is air";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_server(stack, &self.server).into_iter().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let database = super::named_database(stack, &self.server, self.database.as_ref());
        vec![format!("look at the size and bloat of {database} on {}, the {} worst", self.server, self.top)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = super::server(&context.stack, &self.server)?;
        let request = BloatRequest {
            server,
            docker: &context.stack.docker,
            database: super::database(server, self.database.as_ref()),
            top: self.top,
            min_size: self.min_size.0,
            warn: self.warn,
            measure: self.measure,
        };
        Ok(super::report(bloat::look(&request).await?))
    }
}
