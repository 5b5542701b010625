//! `reports_dir` and `[capacity]`: where reports go, and what a forecast looks at.

use std::{collections::BTreeMap, path::PathBuf};

use chrono::NaiveDate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    diagnostic::Mistake,
    document::{Document, nearest, place},
    shape::Span,
};
use crate::model::{
    finding::Unit,
    reports::{
        ReportSettings,
        capacity::{CapacitySettings, Limit, Resource, usual},
        seasons::{Factor, Seasons},
    },
    targets::Targets,
};

/// A year: nobody knows more of a stack's future, nor of its past.
const LONGEST_DAYS: u64 = 366;

/// `[capacity]`: what a forecast looks at. Disks, inodes, memory, connections, databases and WAL are looked at by the series
/// of node_exporter and postgres_exporter unless a resource of the same name says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CapacitySection {
    /// The Prometheus server, as `[prometheus.<name>]` names it. Default: the only one.
    prometheus: Option<String>,
    /// How far it is looked ahead. Default: `90d`.
    horizon: Option<Span>,
    /// How far it is looked back. Default: `180d`.
    history: Option<Span>,
    /// Of the usual resources those that this host does not have: `disk`, `inodes`, `memory`, `connections`, `database`, `wal`,
    /// `volumes`, `throughput`.
    #[serde(default)]
    skip: Vec<String>,
    /// Further resources, and usual ones by other series.
    #[serde(default)]
    resource: BTreeMap<String, ResourceSection>,
    /// When there is more to do.
    seasons: Option<SeasonsSection>,
}

/// `[capacity.resource.NAME]`: what runs full.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceSection {
    /// What is used: a query that gives one or more series.
    query: Option<String>,
    /// Instead of a query: a `[metric.<name>]`.
    metric: Option<String>,
    /// Where it is full: a number, or a query that gives a series for each of those used. Default: nowhere, only its growth
    /// is told.
    limit: Option<LimitValue>,
    /// What it is measured in. Default: `bytes`, or that of the metric.
    unit: Option<Unit>,
    /// Whether it follows the load of the moment, as memory and connections do. Default: false.
    #[serde(default)]
    load: bool,
    /// What to do when it runs full.
    hint: Option<String>,
}

/// A number, or a query.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LimitValue {
    /// A number.
    Number(f64),
    /// A query.
    Query(String),
}

/// `[capacity.seasons]`: how many times the load of other times there is, `[at least, at most]`; the defaults are the runbook's.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeasonsSection {
    /// The hours of a working day in which business is done. Default: `[9, 18]`.
    hours: Option<[u32; 2]>,
    /// How many days of a month are its end. Default: 3.
    month_end_days: Option<u32>,
    /// Days on which nobody works, e.g. `["2026-12-25"]`.
    #[serde(default)]
    holidays: Vec<String>,
    /// Default: `[1.5, 2.0]`.
    business_hours: Option<[f64; 2]>,
    /// Default: `[0.6, 0.8]`.
    weekend: Option<[f64; 2]>,
    /// Default: `[1.2, 1.5]`.
    month_end: Option<[f64; 2]>,
    /// Default: `[0.3, 0.5]`.
    holiday: Option<[f64; 2]>,
}

/// Resolves both.
pub(super) fn resolve(
    document: &Document,
    dir: PathBuf,
    raw: CapacitySection,
    targets: &Targets,
    mistakes: &mut Vec<Mistake>,
) -> ReportSettings {
    let default = CapacitySettings::default();
    if let Some(name) = &raw.prometheus
        && !targets.prometheus.contains_key(name)
    {
        let mistake = document.at_path(&place!["capacity", "prometheus"], format!("there is no `[prometheus.{name}]`"));
        mistakes.push(match nearest(name, targets.prometheus.keys().map(String::as_str)) {
            Some(near) => mistake.help(format!("did you mean `{near}`?")),
            None => mistake,
        });
    }
    let mut days = |key: &str, span: Option<Span>, default: i64| {
        let Some(span) = span else { return default };
        let days = span.0.as_secs() / 86_400;
        if !(1..=LONGEST_DAYS).contains(&days) {
            mistakes.push(document.at_path(&place!["capacity", key], format!("expected 1d to {LONGEST_DAYS}d")));
        }
        i64::try_from(days).unwrap_or(default)
    };
    let horizon = days("horizon", raw.horizon, default.horizon);
    let history = days("history", raw.history, default.history);
    let seasons = raw.seasons.map(|section| seasons(document, section, mistakes)).unwrap_or_default();
    let given = raw.resource.into_iter();
    let mut resources: Vec<_> =
        given.filter_map(|(name, raw)| resource(document, name, raw, targets, mistakes)).collect();
    let mut left_out = Vec::new();
    for (index, name) in raw.skip.iter().enumerate() {
        if !usual::NAMES.contains(&name.as_str()) {
            let message = format!("`{name}` is none of: {}", usual::NAMES.join(", "));
            mistakes.push(document.at_path(&place!["capacity", "skip", index], message));
        }
    }
    for name in usual::NAMES {
        if raw.skip.iter().any(|skipped| skipped == name) {
            left_out.push(format!("{name}: left out by `skip` of [capacity]"));
        } else if !resources.iter().any(|resource| resource.name == *name) {
            match usual::resource(name, targets) {
                Some(resource) => resources.push(resource),
                None => left_out.push(format!("{name}: no series is known for it; add [capacity.resource.{name}]")),
            }
        }
    }
    let capacity = CapacitySettings { prometheus: raw.prometheus, horizon, history, resources, left_out, seasons };
    ReportSettings { dir, capacity }
}

fn resource(
    document: &Document,
    name: String,
    raw: ResourceSection,
    targets: &Targets,
    mistakes: &mut Vec<Mistake>,
) -> Option<Resource> {
    let here = place!["capacity", "resource", name.as_str()];
    let metric = raw.metric.as_ref().map(|metric| (metric, targets.metric.get(metric)));
    let (query, of_metric) = match (raw.query, metric) {
        (Some(query), None) => (query, Unit::Bytes),
        (None, Some((_, Some(metric)))) => (metric.whole(), metric.unit),
        (None, Some((unknown, None))) => {
            let at = place!["capacity", "resource", name.as_str(), "metric"];
            mistakes.push(document.at_path(&at, format!("there is no `[metric.{unknown}]`")));
            return None;
        }
        _ => {
            mistakes.push(document.at_path(&here, "exactly one of `query` and `metric` says what is used"));
            return None;
        }
    };
    let limit = match raw.limit {
        None => Limit::None,
        Some(LimitValue::Number(number)) => Limit::Number(number),
        Some(LimitValue::Query(query)) => Limit::Query(query),
    };
    Some(Resource { name, query, limit, unit: raw.unit.unwrap_or(of_metric), load: raw.load, hint: raw.hint })
}

fn seasons(document: &Document, raw: SeasonsSection, mistakes: &mut Vec<Mistake>) -> Seasons {
    let default = Seasons::default();
    let mut wrong = |key: &str, message: &str| {
        mistakes.push(document.at_path(&place!["capacity", "seasons", key], message.to_owned()));
    };
    let mut factor = |key: &str, given: Option<[f64; 2]>, default: Factor| {
        let Some([from, to]) = given else { return default };
        if !(from > 0.0 && from <= to && to < 1000.0) {
            wrong(key, "expected two factors, the smaller one first, e.g. [1.2, 1.5]");
        }
        Factor { from, to }
    };
    let business_hours = factor("business_hours", raw.business_hours, default.business_hours);
    let weekend = factor("weekend", raw.weekend, default.weekend);
    let month_end = factor("month_end", raw.month_end, default.month_end);
    let holiday = factor("holiday", raw.holiday, default.holiday);
    let hours = raw.hours.map_or(default.hours, |[from, to]| (from, to));
    if hours.0 >= hours.1 || hours.1 > 24 {
        wrong("hours", "expected two hours of the day, the earlier one first, e.g. [9, 18]");
    }
    let month_end_days = raw.month_end_days.unwrap_or(default.month_end_days);
    if !(1..=15).contains(&month_end_days) {
        wrong("month_end_days", "expected 1 to 15");
    }
    let mut holidays: Vec<NaiveDate> = Vec::new();
    for text in &raw.holidays {
        match text.parse() {
            Ok(date) => holidays.push(date),
            Err(_) => wrong("holidays", &format!("`{text}` is not a date; expected e.g. \"2026-12-25\"")),
        }
    }
    Seasons { hours, month_end_days, holidays, business_hours, weekend, month_end, holiday }
}
