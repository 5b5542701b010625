//! Skeleton: owned by its author.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    model::stack::Stack,
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Skeleton.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresGlobals {}

impl StepKind for PostgresGlobals {
    const SUMMARY: &'static str = "";
    const CAPTURES: bool = true;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        Vec::new()
    }

    async fn run(&self, _context: &StepContext) -> Result<StepReport, StepError> {
        Ok(StepReport::captured(String::new(), Vec::new(), std::collections::BTreeMap::new()))
    }
}
