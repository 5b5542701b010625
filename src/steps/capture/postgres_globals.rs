//! `postgres_globals`: one artifact with the roles and tablespaces of a server.

use schemars::JsonSchema;
use serde::Deserialize;

use super::packing::{Compression, StreamSource};
use crate::{
    capture::globals::{self, CapturedGlobals, GlobalsError, GlobalsRequest},
    model::{
        stack::Stack,
        units::{ByteSize, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Captures what belongs to a server and to none of its databases: roles with memberships and passwords, tablespaces.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresGlobals {
    /// The server, as `maint.toml` names it in `[postgres.<name>]`.
    server: String,
    /// Whether the roles' passwords (their verifiers) are captured; needs a superuser or `pg_read_all_data`.
    #[serde(default = "yes")]
    role_passwords: bool,
    /// How to pack: `"zstd"` (default), `"gzip"`, or a table with `codec` and `level`.
    #[serde(default)]
    compression: Compression,
}

fn yes() -> bool {
    true
}

impl StepKind for PostgresGlobals {
    const SUMMARY: &'static str = "Captures the roles and tablespaces of a PostgreSQL server";
    const CAPTURES: bool = true;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = self.compression.problems();
        problems.extend(super::unknown_server(stack, &self.server));
        problems
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let without = if self.role_passwords { "" } else { ", without passwords" };
        vec![format!("capture the roles and tablespaces of {}{without}", self.server)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let server = context.stack.postgres.get(&self.server);
        let server = server.ok_or_else(|| GlobalsError::UnknownServer { server: self.server.clone() })?;
        let request = GlobalsRequest {
            server,
            docker: &context.stack.docker,
            step: &context.step,
            staging: &context.staging,
            artifact: context.artifact_name(None, "sql", self.compression.codec()),
            settings: format!("{}.settings.sql", context.stem(None)),
            packing: self.compression.packing(StreamSource::Server),
            role_passwords: self.role_passwords,
            host_secret: &context.host_secret,
        };
        let CapturedGlobals { artifact, tools } = globals::capture(&request, &context.cancel).await?;
        let roles = count(artifact.counts.roles.unwrap_or(0), "role");
        let summary = format!("{roles} of {}: {}", self.server, ByteSize(artifact.packed.bytes));
        Ok(StepReport::captured(summary, vec![artifact], tools))
    }
}
