//! `capacity`: when something runs full.

use chrono::TimeDelta;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Series;
use crate::{
    model::{
        reports::{Report, capacity::Capacity as Document},
        stack::Stack,
        units::count,
    },
    reports::{ReportError, capacity, window::Window},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Carries on what Prometheus knows of disks, inodes, databases, WAL, memory, connections and what `[capacity.resource.*]` of
/// `maint.toml` names: where it will be, how sure that is, and when it is full. What the data cannot carry is not forecast.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Capacity {
    /// Where the report lies: `<reports_dir>/<series>/<period>.html` and `.json`. Default: `capacity`.
    #[serde(default)]
    series: Option<Series>,
    /// How many days it is looked ahead. Default: that of `[capacity]`, 90.
    #[serde(default)]
    horizon: Option<u16>,
}

impl StepKind for Capacity {
    const SUMMARY: &'static str = "Forecasts when disks, databases, memory and the like run full";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let settings = &stack.reports.capacity;
        let mut problems: Vec<_> = Vec::new();
        if let Some(mut problem) = super::unknown_prometheus(stack, settings.prometheus.as_ref()) {
            problem.key = "series";
            problem.message = format!("[capacity] of maint.toml, prometheus: {}", problem.message);
            problems.push(problem);
        }
        if self.horizon.is_some_and(|days| !(1..=366).contains(&days)) {
            problems.push(Problem { key: "horizon", message: "expected 1 to 366".into() });
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let settings = &stack.reports.capacity;
        let names: Vec<_> = settings.resources.iter().map(|resource| resource.name.as_str()).collect();
        let horizon = self.horizon.map_or(settings.horizon, i64::from);
        vec![format!("forecast {} for {horizon} days by the last {}", names.join(", "), settings.history)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let zone = super::zone(context);
        let mut settings = context.stack.reports.capacity.clone();
        settings.horizon = self.horizon.map_or(settings.horizon, i64::from);
        let now = context.started;
        let (resources, left_out) = tokio::select! {
            looked = capacity::look(&context.stack, &settings, now) => looked,
            () = context.cancel.cancelled() => return Err(ReportError::Stopped.into()),
        };
        let window = Window {
            period: super::made_in(now, zone),
            from: now - TimeDelta::days(settings.history),
            to: now + TimeDelta::days(settings.horizon),
        };
        let summary = format!("{} over the next {} days", count(resources.len() as u64, "forecast"), settings.horizon);
        let head = super::head(context, "Capacity", &window);
        let (horizon, seasons) = (settings.horizon, settings.seasons);
        let report = Report::Capacity(Document { head, horizon, seasons, resources, left_out });
        let series = Series::named(self.series.as_ref(), "capacity")?;
        super::published(context, &series, &report, &summary)
    }
}
