//! `traffic`: the day so far: availability, and peaks of the day and of business hours.

use chrono::{DateTime, NaiveTime, TimeZone, Utc};
use futures_util::future::{join, join_all};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{at_best, chosen, measured, series, summary, unasked, unknown_names};
use crate::{
    adapters::{clock, prometheus::Prometheus},
    model::{
        bands::Bands,
        finding::{Finding, Unit},
        stack::Stack,
        targets::{Metric, Several},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// The day so far, by `[metric.NAME]`: peak and mean of the whole day and of business hours, how many events there were, the
/// change against the same weekday a week before, and how much of the day the stack was up. Gaps in the data are unknown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Traffic {
    /// Which metrics. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// When business begins, in the zone of `maint.toml`. Default: `08:00`.
    #[serde(default)]
    from: Option<String>,
    /// When it ends. Default: `18:00`.
    #[serde(default)]
    to: Option<String>,
    /// How available each Prometheus found its targets, in percent of the day. Default: good above 99.9 %, critical below 99 %.
    #[serde(default)]
    availability: Option<Bands>,
    /// The query of it, 1 where all is up. Default: `avg(up)`.
    #[serde(default)]
    availability_query: Option<String>,
}

impl Traffic {
    fn business(&self) -> Result<(NaiveTime, NaiveTime), Problem> {
        let time = |key: &'static str, given: &Option<String>, default: &str| {
            let text = given.as_deref().unwrap_or(default);
            let message = format!("`{text}` is not a time of day; expected e.g. \"08:00\"");
            NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| Problem { key, message })
        };
        let (from, to) = (time("from", &self.from, "08:00")?, time("to", &self.to, "18:00")?);
        if from >= to {
            return Err(Problem { key: "to", message: "business ends before it begins".into() });
        }
        Ok((from, to))
    }
}

impl StepKind for Traffic {
    const SUMMARY: &'static str = "Looks back on the day: availability, peaks of the day and of business hours";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems = unknown_names("names", "metric", &self.names, &stack.targets.metric);
        problems.extend(self.business().err());
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let chosen = chosen(&self.names, &stack.targets.metric).into_iter();
        chosen.map(|(name, _)| format!("ask how {name} went today and a week before")).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let now = clock::now();
        let stack = &context.stack;
        let (from, to) = self.business().unwrap_or((NaiveTime::MIN, NaiveTime::MIN));
        let day = at(stack, now, NaiveTime::MIN);
        let business = (at(stack, now, from), at(stack, now, to).min(now));
        let of_day = chosen(&self.names, &stack.targets.metric);
        let courses = join_all(of_day.into_iter().map(|(name, metric)| async move {
            let whole = series::findings(name, "today", metric, stack, (day, now));
            if business.0 >= business.1 {
                return whole.await;
            }
            let (whole, office) =
                join(whole, series::findings(name, "in business hours", metric, stack, business)).await;
            whole.into_iter().chain(office).collect()
        }));
        let servers = join_all(stack.targets.prometheus.keys().map(|name| self.available(name, stack, (day, now))));
        let (courses, available) = join(courses, servers).await;
        let findings: Vec<Finding> = available.into_iter().chain(courses.into_iter().flatten()).collect();
        Ok(StepReport::found(summary("observation", &findings), findings))
    }
}

/// A time of the day that it is now in the stack's zone; one that a clock change skips is a little later.
fn at(stack: &Stack, now: DateTime<Utc>, time: NaiveTime) -> DateTime<Utc> {
    let date = now.with_timezone(&stack.timezone).date_naive();
    let hours = (0..3).map(chrono::TimeDelta::hours);
    let local = hours.filter_map(|later| stack.timezone.from_local_datetime(&(date.and_time(time) + later)).earliest());
    local.map(|local| local.with_timezone(&Utc)).next().unwrap_or(now)
}

impl Traffic {
    async fn available(&self, name: &str, stack: &Stack, span: (DateTime<Utc>, DateTime<Utc>)) -> Finding {
        let subject = format!("availability today, by {name}");
        let query = self.availability_query.clone().unwrap_or_else(|| "avg(up)".into());
        let Some(config) = stack.targets.prometheus.get(name) else {
            return Finding::unknown(subject, "it is not configured");
        };
        let bands = self.availability.clone().unwrap_or_else(|| Bands::above(99.9, 99.0));
        let metric = Metric {
            prometheus: name.to_owned(),
            query: query.clone(),
            share_of: None,
            several: Several::Mean,
            unit: Unit::Ratio,
            bands: None,
            hint: None,
        };
        let asked = match Prometheus::open(config) {
            Ok(server) => series::course(&server, &metric, span).await,
            Err(error) => Err(error),
        };
        let finding = match asked {
            Ok(Some(course)) => {
                let finding = measured(subject, course.mean * 100.0, Unit::Percent, Some(&bands));
                match course.doubt(stack.timezone) {
                    Some((band, doubt)) => {
                        at_best(Finding { seen: format!("{}, {doubt}", finding.seen), ..finding }, band)
                    }
                    None => finding,
                }
            }
            Ok(None) => Finding::unknown(subject, "there is no data of this day"),
            Err(error) => unasked(subject, &error),
        };
        let finding = finding.source(query);
        if finding.band.is_fine() { finding } else { finding.hint("see which target was down, and when: up == 0") }
    }
}
