//! `utilisation`: what resources were used of late.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{chosen, series, summary, unknown_names};
use crate::{
    adapters::clock,
    model::{finding::Finding, span::Span, stack::Stack},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const LAST: Duration = Duration::from_secs(24 * 3600);

/// What `[metric.NAME]`s of resources did of late: peak and mean, against the same time a week before.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Utilisation {
    /// Which metrics. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// How far back. Default: `24h`.
    #[serde(default)]
    last: Option<Span>,
}

impl StepKind for Utilisation {
    const SUMMARY: &'static str = "Looks back on what resources were used";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_names("names", "metric", &self.names, &stack.targets.metric)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let chosen = chosen(&self.names, &stack.targets.metric).into_iter();
        chosen.map(|(name, _)| format!("ask how {name} went of late and a week before")).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let to = clock::now();
        let last = self.last.map_or(LAST, |span| span.0);
        let from = TimeDelta::from_std(last).ok().and_then(|last| to.checked_sub_signed(last)).unwrap_or(to);
        let when = format!("of the last {}", humantime::format_duration(last));
        let chosen = chosen(&self.names, &context.stack.targets.metric).into_iter();
        let courses = chosen.map(|(name, metric)| series::findings(name, &when, metric, &context.stack, (from, to)));
        let findings: Vec<Finding> = join_all(courses).await.into_iter().flatten().collect();
        Ok(StepReport::found(summary("observation", &findings), findings))
    }
}
