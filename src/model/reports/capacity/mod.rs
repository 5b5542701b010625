//! When something runs full: what is known of each resource, carried on, with its interval.

pub mod usual;

use chrono::{DateTime, NaiveDate};
use serde::Serialize;

use super::{Head, seasons::Seasons};
use crate::model::{
    finding::{Band, Finding, Quantity, Unit},
    forecast::{Day, Forecast, LEAST_DAYS, Point, Reach, Refusal, Shape},
    targets::Targets,
};

/// A limit that is expected to be reached within so many days is for now.
const URGENT_DAYS: i64 = 14;
/// Data of fewer days do not have the end of a month twice.
const MONTH_ENDS_KNOWN: i64 = 62;

/// What is forecast, resolved from `maint.toml`.
#[derive(Debug, Clone)]
pub struct CapacitySettings {
    /// The Prometheus server; `None`: the only one.
    pub prometheus: Option<String>,
    /// How far it is looked ahead, in days.
    pub horizon: i64,
    /// How far it is looked back, in days.
    pub history: i64,
    /// What is looked at.
    pub resources: Vec<Resource>,
    /// What the runbook asks for and nobody configured, with what to do about it.
    pub left_out: Vec<String>,
    /// When there is more to do.
    pub seasons: Seasons,
}

impl Default for CapacitySettings {
    /// Three months ahead by half a year of what is usual.
    fn default() -> Self {
        let usual = usual::NAMES.iter().filter_map(|name| usual::resource(name, &Targets::default()));
        Self {
            prometheus: None,
            horizon: 90,
            history: 180,
            resources: usual.collect(),
            left_out: Vec::new(),
            seasons: Seasons::default(),
        }
    }
}

/// What runs full.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Its name.
    pub name: String,
    /// What is used.
    pub query: String,
    /// Where it is full.
    pub limit: Limit,
    /// What it is measured in.
    pub unit: Unit,
    /// Whether it follows the load of the moment, as memory does; what is stored does not.
    pub load: bool,
    /// What to do.
    pub hint: Option<String>,
}

/// Where a resource is full.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// Nowhere: only its growth is told.
    None,
    /// At a number.
    Number(f64),
    /// At what a query gives, series by series.
    Query(String),
}

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Capacity {
    /// What every report begins with.
    #[serde(flatten)]
    pub head: Head,
    /// How far it is looked ahead, in days.
    pub horizon: i64,
    /// What the load's seasons are said to be.
    pub seasons: Seasons,
    /// What was looked at, what is nearest its limit first.
    pub resources: Vec<Outlook>,
    /// What was not looked at.
    pub left_out: Vec<String>,
}

impl Capacity {
    /// What it judges.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.resources.iter().map(|outlook| &outlook.finding)
    }
}

/// What becomes of one series of a resource.
#[derive(Debug, Clone, Serialize)]
pub struct Outlook {
    /// The resource, and the series where it has several: `disk /var`.
    pub name: String,
    /// What it is measured in.
    pub unit: Unit,
    /// Its newest day's peak.
    pub now: Option<f64>,
    /// Where it is full.
    pub limit: Option<f64>,
    /// The peak of each day.
    pub history: Vec<(NaiveDate, f64)>,
    /// What is expected.
    #[serde(flatten)]
    pub expectation: Expectation,
    /// What it will be at the end of a month at worst, where it follows the load and the data do not know such days.
    pub month_end: Option<f64>,
    /// What is to be said of it.
    pub finding: Finding,
}

/// What is expected of a series.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "forecast", rename_all = "snake_case")]
pub enum Expectation {
    /// It goes on.
    Made {
        /// What was assumed, in words.
        assumed: &'static str,
        /// What it grows by in a day, where the data are sure of it.
        per_day: Option<f64>,
        /// Day by day.
        ahead: Vec<Ahead>,
        /// When it is full.
        #[serde(flatten)]
        reach: Reach,
    },
    /// The data cannot carry a forecast.
    Refused {
        /// Why.
        why: String,
    },
}

/// A day to come.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ahead {
    /// The day.
    pub date: NaiveDate,
    /// What is expected.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The date of a day since 1970.
pub fn date(day: i64) -> NaiveDate {
    DateTime::from_timestamp(day.saturating_mul(86_400), 0).unwrap_or_default().date_naive()
}

/// What is known of a series.
#[derive(Debug, Clone)]
pub struct Known {
    /// Its name.
    pub name: String,
    /// The peaks of its days, in order.
    pub days: Vec<Day>,
    /// Where it is full.
    pub limit: Option<f64>,
}

/// Carries a series on.
pub fn outlook(resource: &Resource, known: Known, horizon: i64, seasons: &Seasons) -> Outlook {
    let now = known.days.last().map(|day| day.value);
    let span = known.days.first().zip(known.days.last()).map_or(0, |(first, last)| last.day - first.day + 1);
    let forecast = Forecast::new(&known.days);
    let mut month_end = None;
    let (expectation, finding) = match (&forecast, now) {
        (Ok(forecast), Some(now)) => {
            let points: Vec<Point> = (1..=horizon).map(|ahead| forecast.at(ahead)).collect();
            let reach = known.limit.map_or(Reach::Beyond, |limit| forecast.reaches(limit, now, horizon));
            if resource.load && span < MONTH_ENDS_KNOWN {
                month_end = worst_month_end(&points, seasons);
            }
            let finding = judged(resource, &known, forecast, &points, reach, month_end);
            let ahead = |p: &Point| Ahead { date: date(p.day), value: p.value, low: p.low, high: p.high };
            let ahead = points.iter().map(ahead).collect();
            let (assumed, per_day) = (Shape::words(forecast.shape()), forecast.per_day());
            (Expectation::Made { assumed, per_day, ahead, reach }, finding)
        }
        (refused, _) => {
            let why = refused.as_ref().err().map_or_else(|| "no data".to_owned(), Refusal::to_string);
            (Expectation::Refused { why: why.clone() }, refusal(resource, &known, now, &why))
        }
    };
    let history = known.days.iter().map(|day| (date(day.day), day.value)).collect();
    let finding = finding.source(&resource.query);
    Outlook { name: known.name, unit: resource.unit, now, limit: known.limit, history, expectation, month_end, finding }
}

/// What the last days of the months ahead would be where they are as much busier as the runbook says.
fn worst_month_end(points: &[Point], seasons: &Seasons) -> Option<f64> {
    let ends = points.iter().filter(|point| seasons.is_month_end(date(point.day)));
    ends.map(|point| point.value * seasons.month_end.to).max_by(f64::total_cmp)
}

/// "Full already" needs no forecast.
fn refusal(resource: &Resource, known: &Known, now: Option<f64>, why: &str) -> Finding {
    let show = |value| Quantity::new(value, resource.unit);
    match (now, known.limit) {
        (Some(now), Some(limit)) if now >= limit => {
            let seen = format!("is full: {} of {}; no forecast: {why}", show(now), show(limit));
            Finding::critical(&known.name, seen).value(now, resource.unit)
        }
        (Some(now), _) => Finding::unknown(&known.name, format!("{} now; no forecast: {why}", show(now)))
            .value(now, resource.unit)
            .hint(format!("keep at least {LEAST_DAYS} days of its series in Prometheus")),
        (None, _) => Finding::unknown(&known.name, format!("no forecast: {why}")),
    }
}

fn judged(
    resource: &Resource,
    known: &Known,
    forecast: &Forecast,
    points: &[Point],
    reach: Reach,
    month_end: Option<f64>,
) -> Finding {
    let show = |value: f64| Quantity::new(value, resource.unit);
    let last = known.days.last().map_or(0, |day| day.day);
    let soon = |day: i64| day - last <= URGENT_DAYS;
    let (now, horizon) = (known.days.last().map_or(0.0, |day| day.value), points.len());
    let of = known.limit.map_or_else(String::new, |limit| format!(" of {}", show(limit)));
    let growth = match forecast.per_day() {
        Some(per_day) if per_day > 0.0 => format!(", growing by {} a day", show(per_day)),
        Some(per_day) => format!(", shrinking by {} a day", show(-per_day)),
        None => String::new(),
    };
    let mut seen = format!("{}{of} now{growth}", show(now));
    let mut band = match reach {
        Reach::Now => Band::Critical,
        Reach::Within { day, .. } if soon(day) => Band::Critical,
        Reach::Within { .. } => Band::Warning,
        Reach::Possible { from } if soon(from) => Band::Warning,
        Reach::Possible { .. } | Reach::Beyond => Band::Good,
    };
    seen += &match reach {
        Reach::Now => "; it is full".to_owned(),
        Reach::Within { from, day, until } => {
            let until = until.map_or_else(
                || format!("after {}", date(last + i64::try_from(horizon).unwrap_or(0))),
                |d| date(d).to_string(),
            );
            format!("; full about {}, between {} and {until}", date(day), date(from))
        }
        Reach::Possible { from } => {
            format!("; not expected to be full within {horizon} days, but possible from {} on", date(from))
        }
        Reach::Beyond if known.limit.is_some() => format!("; not full within {horizon} days"),
        Reach::Beyond => String::new(),
    };
    if let (None, Some(end)) = (known.limit, points.last()) {
        seen += &format!("; in {horizon} days {} ({} to {})", show(end.value), show(end.low.max(0.0)), show(end.high));
    }
    if let (Some(end), Some(limit)) = (month_end, known.limit)
        && end >= limit
        && band == Band::Good
    {
        band = Band::Warning;
        seen += &format!("; at the end of a month, as much busier as `[capacity.seasons]` says, {}", show(end));
    }
    if let (Some(end), None) = (month_end, known.limit) {
        seen += &format!("; at the end of a month up to {}", show(end));
    }
    let finding = Finding::new(band, &known.name, seen).value(now, resource.unit);
    match resource.hint.as_ref().filter(|_| !band.is_fine()) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}

/// The day of an instant, since 1970, of an instant that ends it.
pub fn day_that_ends(at: f64) -> Option<i64> {
    let rounded = format!("{:.0}", at / 86_400.0);
    rounded.parse::<i64>().ok().map(|day| day - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(load: bool) -> Resource {
        let hint = Some("make room".to_owned());
        Resource { name: "disk".into(), query: "q".into(), limit: Limit::None, unit: Unit::Bytes, load, hint }
    }

    fn known(n: i64, limit: Option<f64>, value: impl Fn(i64) -> f64) -> Known {
        let days = (0..n).map(|day| Day { day: day + 20_000, value: value(day) }).collect();
        Known { name: "disk /".into(), days, limit }
    }

    #[test]
    fn what_grows_is_full_on_a_day_between_two_others() {
        let found = outlook(&resource(false), known(40, Some(6e9), |d| 1e9 + 1e8 * d as f64), 90, &Seasons::default());
        assert_eq!(found.finding.band, Band::Critical, "{:?}", found.finding);
        assert!(found.finding.seen.contains("growing by 100.0 MB a day; full about 2024-11-"), "{:?}", found.finding);
        let later = outlook(&resource(false), known(40, Some(9e9), |d| 1e9 + 1e8 * d as f64), 90, &Seasons::default());
        assert_eq!((later.finding.band, later.finding.hint.as_deref()), (Band::Warning, Some("make room")));
        let never = outlook(&resource(false), known(40, Some(9e12), |d| 1e9 + 1e8 * d as f64), 90, &Seasons::default());
        assert_eq!(never.finding.band, Band::Good);
        assert!(matches!(never.expectation, Expectation::Made { ref ahead, .. } if ahead.len() == 90));
    }

    #[test]
    fn what_the_data_cannot_carry_is_refused_with_the_reason() {
        let young = outlook(&resource(false), known(5, Some(6e9), |_| 1e9), 90, &Seasons::default());
        assert!(matches!(young.expectation, Expectation::Refused { ref why } if why.contains("5 days")), "{young:?}");
        assert_eq!(young.finding.band, Band::Unknown);
        let full = outlook(&resource(false), known(5, Some(1e9), |_| 1e9), 90, &Seasons::default());
        assert_eq!(full.finding.band, Band::Critical, "full is full, whatever comes");
        let none = outlook(&resource(false), known(0, None, |_| 0.0), 90, &Seasons::default());
        assert_eq!(none.finding.band, Band::Unknown);
    }

    #[test]
    fn the_end_of_the_month_counts_for_what_follows_the_load() {
        let of = |load| outlook(&resource(load), known(40, Some(130.0), |_| 100.0), 90, &Seasons::default());
        let storage = of(false);
        assert_eq!((storage.finding.band, storage.month_end), (Band::Good, None));
        let load = of(true);
        assert_eq!((load.finding.band, load.month_end), (Band::Warning, Some(150.0)), "{:?}", load.finding);
        let unlimited = outlook(&resource(true), known(40, None, |_| 100.0), 90, &Seasons::default());
        assert!(unlimited.finding.seen.ends_with("; at the end of a month up to 150 B"), "{:?}", unlimited.finding);
        // Who knows the ends of two months needs nobody's word for them.
        let long = outlook(&resource(true), known(100, Some(130.0), |_| 100.0), 90, &Seasons::default());
        assert_eq!(long.finding.band, Band::Good);
    }

    #[test]
    fn a_day_is_the_one_that_its_midnight_ends() {
        assert_eq!(day_that_ends(86_400.0 * 20_001.0), Some(20_000));
        assert_eq!(date(20_000).to_string(), "2024-10-04");
    }
}
