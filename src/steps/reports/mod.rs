//! Steps that look back and ahead: their findings decide the outcome, their pages are for people.

pub mod capacity;
pub mod performance;
pub mod recommendations;
pub mod security_report;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Problem, StepContext, StepError, StepReport};
use crate::{
    adapters::{clock, host},
    model::{
        finding::Finding,
        ids::SeriesName,
        reports::{Head, Report},
        stack::Stack,
    },
    reports::{ReportError, publish, window::Window},
};

/// The name of a row of reports: where they lie below `reports_dir`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(transparent)]
struct Series(SeriesName);

impl Series {
    fn named(name: Option<&Self>, default: &str) -> Result<SeriesName, StepError> {
        match name {
            Some(name) => Ok(name.0.clone()),
            None => Ok(default.parse().map_err(ReportError::Name)?),
        }
    }
}

/// The zone of the step's job.
fn zone(context: &StepContext) -> Tz {
    let job = context.jobs.iter().find(|job| job.name == context.job);
    job.map_or(context.stack.timezone, |job| job.zone)
}

fn head(context: &StepContext, title: &str, window: &Window) -> Head {
    Head {
        title: title.to_owned(),
        stack: context.stack.name.clone(),
        host: host::name(),
        maint: env!("CARGO_PKG_VERSION").to_owned(),
        period: window.period.clone(),
        from: window.from,
        to: window.to,
        timezone: zone(context).name().to_owned(),
        made: clock::now(),
    }
}

/// Writes the report and gives its findings to the run.
fn published(
    context: &StepContext,
    series: &SeriesName,
    report: &Report,
    summary: &str,
) -> Result<StepReport, StepError> {
    let place = publish::publish(&context.stack.reports.dir, series, report)?;
    let mut findings: Vec<Finding> = report.findings().into_iter().cloned().collect();
    if findings.is_empty() && !matches!(report, Report::Recommendations(_)) {
        findings.push(Finding::unknown(series.as_str(), "nothing is configured that could be looked at"));
    }
    Ok(StepReport::found(format!("{summary}: {}", place.html.display()), findings))
}

fn unknown_prometheus(stack: &Stack, name: Option<&String>) -> Option<Problem> {
    let known = &stack.targets.prometheus;
    let listed = || match known.len() {
        0 => "none".to_owned(),
        _ => known.keys().cloned().collect::<Vec<_>>().join(", "),
    };
    let message = match name {
        Some(name) if known.contains_key(name) => return None,
        Some(name) => format!("there is no [prometheus.{name}] in maint.toml; it has: {}", listed()),
        None if known.len() == 1 => return None,
        None => format!("which of the [prometheus.NAME] of maint.toml? It has: {}", listed()),
    };
    Some(Problem { key: "prometheus", message })
}

/// The month of an instant's label, as reports made in it are called.
fn made_in(now: DateTime<Utc>, zone: Tz) -> String {
    crate::model::period::PeriodKind::Month.label(now, zone)
}
