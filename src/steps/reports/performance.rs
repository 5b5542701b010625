//! `performance`: how the stack did in the last month.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Series;
use crate::{
    model::{
        reports::{Report, performance::Performance as Document},
        stack::Stack,
        units::count,
    },
    reports::{ReportError, performance::PerformanceRequest, window::Window},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Reports on every `[metric.*]` of `maint.toml` and on availability, over the calendar month before: percentiles, worst hours,
/// business hours, the months before, and how good that was.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Performance {
    /// Where the report lies: `<reports_dir>/<series>/<period>.html` and `.json`. Default: `performance`.
    #[serde(default)]
    series: Option<Series>,
    /// Instead of the calendar month before: so many days until now.
    #[serde(default)]
    days: Option<u32>,
    /// The Prometheus server that knows availability, as `[prometheus.<name>]` names it. Default: the only one.
    #[serde(default)]
    prometheus: Option<String>,
    /// A selector of series that are 1 where a service is there and 0 where it is not. Default: `up`.
    #[serde(default = "up")]
    availability: String,
    /// The label that names a service; it is there where one of its series says so. Default: `job`.
    #[serde(default = "job")]
    service: String,
    /// How available every service should be, in percent; ten times as much downtime is critical. Default: 99.9.
    #[serde(default = "three_nines")]
    available: f64,
    /// With how many earlier months it is compared, as far as Prometheus has them. Default: 5.
    #[serde(default = "five")]
    earlier: u32,
}

fn up() -> String {
    "up".into()
}

fn job() -> String {
    "job".into()
}

fn three_nines() -> f64 {
    99.9
}

fn five() -> u32 {
    5
}

impl StepKind for Performance {
    const SUMMARY: &'static str = "Reports how every metric and the availability were over the last month";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems: Vec<_> = super::unknown_prometheus(stack, self.prometheus.as_ref()).into_iter().collect();
        if self.days.is_some_and(|days| !(1..=366).contains(&days)) {
            problems.push(Problem { key: "days", message: "expected 1 to 366".into() });
        }
        if !(0.0..100.0).contains(&self.available) {
            problems.push(Problem { key: "available", message: "expected a percentage below 100, e.g. 99.9".into() });
        }
        let label = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if self.service.is_empty() || !self.service.chars().all(label) {
            problems.push(Problem { key: "service", message: format!("`{}` is not a label's name", self.service) });
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let of =
            self.days.map_or_else(|| "the calendar month before".to_owned(), |days| format!("the last {days} days"));
        let metrics = stack.targets.metric.keys().cloned().collect::<Vec<_>>().join(", ");
        let metrics = if metrics.is_empty() { "no [metric.*] of maint.toml".to_owned() } else { metrics };
        vec![format!("report on availability ({}) and {metrics} over {of}", self.availability)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let zone = super::zone(context);
        let window = match self.days {
            Some(days) => Window::last_days(context.started, zone, days),
            None => Window::month_before(context.started, zone, 0),
        };
        // Before the last days are whole months, too: the ones that ended before they began.
        let before = if self.days.is_some() { window.from } else { context.started };
        let skip = u32::from(self.days.is_none());
        let earlier: Vec<_> = (0..self.earlier).map(|n| Window::month_before(before, zone, n + skip)).collect();
        let request = PerformanceRequest {
            stack: &context.stack,
            prometheus: self.prometheus.as_deref(),
            zone,
            window: &window,
            earlier: &earlier,
            availability: &self.availability,
            service: &self.service,
            available: self.available,
        };
        let (measures, services) = tokio::select! {
            measured = request.measure() => measured,
            () = context.cancel.cancelled() => return Err(ReportError::Stopped.into()),
        };
        let summary = format!("{} over {}", count(measures.len() as u64, "measure"), window.period);
        let head = super::head(context, "Performance", &window);
        let seasons = context.stack.reports.capacity.seasons.clone();
        let report = Report::Performance(Document { head, seasons, measures, services });
        let series = Series::named(self.series.as_ref(), "performance")?;
        super::published(context, &series, &report, &summary)
    }
}
