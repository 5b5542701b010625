//! `reindex`: rebuilds the indexes of a database that are mostly air.

use schemars::JsonSchema;
use serde::Deserialize;

use super::vacuum::lock_timeout;
use crate::{
    model::{
        span::{Span, SpanOrZero},
        stack::Stack,
    },
    steps::{
        Problem, StepContext, StepError, StepKind, StepReport,
        parameters::{Size, unknown_server},
    },
    upkeep::indexes::{self, IndexesRequest},
};

/// REINDEX INDEX CONCURRENTLY of the indexes that are mostly air, one at a time, beside running queries. Invalid indexes that
/// an earlier rebuild left behind are removed first; other invalid ones are reported. System catalogues are left alone.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reindex {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// The database. Default: the server's `dbname`.
    #[serde(default)]
    database: Option<String>,
    /// An index is rebuilt when more than this share of it is air, in percent, as the statistics tell. Default: 30.
    #[serde(default = "thirty")]
    min_bloat: f64,
    /// An index is rebuilt when it is at least this large. Default: `"100MB"`.
    #[serde(default = "hundred_megabytes")]
    min_size: Size,
    /// `schema.index` of indexes to leave alone.
    #[serde(default)]
    exclude: Vec<String>,
    /// How long each lock is waited for. Default: `"5s"`.
    #[serde(default = "lock_timeout")]
    lock_timeout: Span,
    /// No rebuild begins while a transaction is older than this: it would wait for its end. Default: `"1m"`.
    #[serde(default = "old")]
    old_transaction: SpanOrZero,
    /// How long old transactions are waited for, in all; then they are named. Default: `"5m"`.
    #[serde(default = "patience")]
    patience: SpanOrZero,
    /// Whether the server's disk must be seen to have room for 1.2 times the index. Default: true.
    #[serde(default = "yes")]
    check_space: bool,
}

fn thirty() -> f64 {
    30.0
}

fn hundred_megabytes() -> Size {
    Size(100_000_000)
}

fn old() -> SpanOrZero {
    SpanOrZero::seconds(60)
}

fn patience() -> SpanOrZero {
    SpanOrZero::seconds(300)
}

fn yes() -> bool {
    true
}

impl StepKind for Reindex {
    const SUMMARY: &'static str = "Rebuilds the indexes of a database that are mostly air, beside running queries";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems: Vec<Problem> = unknown_server(stack, &self.server).into_iter().collect();
        if !(0.0..100.0).contains(&self.min_bloat) {
            let message = format!("expected a share below 100 %, found {}", self.min_bloat);
            problems.push(Problem { key: "min_bloat", message });
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let database = super::named_database(stack, &self.server, self.database.as_ref());
        vec![
            format!("remove invalid indexes that a rebuild left in {database} on {}", self.server),
            format!(
                "REINDEX INDEX CONCURRENTLY, one at a time: those of at least {} with more than {} % air",
                self.min_size, self.min_bloat
            ),
        ]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = super::server(&context.stack, &self.server)?;
        let request = IndexesRequest {
            server,
            docker: &context.stack.docker,
            database: super::database(server, self.database.as_ref()),
            min_bloat: self.min_bloat,
            min_size: self.min_size.0,
            exclude: &self.exclude,
            lock_timeout: self.lock_timeout.0,
            old_transaction: self.old_transaction.0,
            patience: self.patience.0,
            check_space: self.check_space,
        };
        Ok(super::report(indexes::maintain(&request, &context.cancel, &context.events).await?))
    }
}
