//! How the stack did in a month: each measure of the baseline table, and availability.

use chrono_tz::Tz;
use serde::Serialize;

use super::{
    Head,
    seasons::{Load, Seasons},
    statistics::{self, DayPart, HourPart, Sample, Summary},
};
use crate::model::{
    bands::Bands,
    finding::{Band, Finding, Quantity, Unit},
};

/// Of less than this share of the time nothing is said but that it is unknown.
const LEAST_COVERAGE: f64 = 0.5;
/// Where less than this is known, it is said.
const FULL_COVERAGE: f64 = 0.95;
/// As many worst hours are named.
const WORST_HOURS: usize = 5;

/// The report.
#[derive(Debug, Clone, Serialize)]
pub struct Performance {
    /// What every report begins with.
    #[serde(flatten)]
    pub head: Head,
    /// What the load's seasons are said to be.
    pub seasons: Seasons,
    /// The measures, availability first.
    pub measures: Vec<Measure>,
    /// How available each service was, the least first.
    pub services: Vec<Service>,
}

impl Performance {
    /// What it judges.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.measures.iter().map(|measure| &measure.finding)
    }
}

/// How available a service was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The share of the measured time in which it was there, in percent.
    pub percent: f64,
    /// Minutes in which it was not.
    pub minutes_down: f64,
    /// The share of the period that was measured.
    pub coverage: f64,
}

/// A measure over the period.
#[derive(Debug, Clone, Serialize)]
pub struct Measure {
    /// Its name in `maint.toml`.
    pub name: String,
    /// What it is measured in.
    pub unit: Unit,
    /// What is expected of it.
    pub expected: Option<String>,
    /// Where good ends.
    pub good: Option<f64>,
    /// Whether greater values are worse.
    pub greater_is_worse: bool,
    /// What is to be said of it.
    pub finding: Finding,
    /// The share of the period that was measured.
    pub coverage: f64,
    /// Its quantiles.
    pub summary: Option<Summary>,
    /// The share of the measured time in each band, the best first.
    pub shares: Vec<(Band, f64)>,
    /// Day by day.
    pub days: Vec<DayPart>,
    /// The median at each hour of the day.
    pub hours: Vec<Option<f64>>,
    /// The worst hours.
    pub worst: Vec<HourPart>,
    /// Its quantiles in business hours.
    pub business: Option<Summary>,
    /// The load's seasons.
    pub load: Load,
    /// This period and the ones before it, oldest first.
    pub trend: Vec<MonthPart>,
}

/// A month of a measure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MonthPart {
    /// Its label.
    pub period: String,
    /// The median; of availability the mean, for its median is nearly always all.
    pub middle: f64,
    /// What 95 of a hundred were better than; of availability not told.
    pub bad: Option<f64>,
}

/// What a measure is, before it was measured.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it is measured in.
    pub unit: Unit,
    /// How good it should be.
    pub bands: Option<&'a Bands>,
    /// The query.
    pub query: &'a str,
    /// What to do where it is not good.
    pub hint: Option<&'a str>,
}

impl Subject<'_> {
    fn greater_is_worse(&self) -> bool {
        self.bands.is_none_or(|bands| bands.worse(0.0, 1.0) > 0.5)
    }

    /// What 95 of a hundred samples are better than.
    pub fn bad(&self, summary: &Summary) -> f64 {
        if self.greater_is_worse() { summary.p95 } else { summary.p5 }
    }

    /// A measure of which nothing is known.
    pub fn unknown(&self, why: impl Into<String>) -> Measure {
        let hint = "see that Prometheus has its series for the whole period, and that `query` gives them";
        Measure {
            name: self.name.to_owned(),
            unit: self.unit,
            expected: self.bands.map(|bands| bands.expected(self.unit).to_string()),
            good: self.bands.map(Bands::good_edge),
            greater_is_worse: self.greater_is_worse(),
            finding: Finding::unknown(self.name, why).source(self.query).hint(hint),
            coverage: 0.0,
            summary: None,
            shares: Vec::new(),
            days: Vec::new(),
            hours: Vec::new(),
            worst: Vec::new(),
            business: None,
            load: Load::default(),
            trend: Vec::new(),
        }
    }

    /// A measure with its samples, of which `expected` could have been there.
    pub fn measured(&self, samples: &[Sample], expected: usize, seasons: &Seasons, zone: Tz) -> Measure {
        let Some(summary) = statistics::summary(samples.iter().map(|s| s.value)) else {
            return self.unknown("no data: the query gave nothing in the whole period");
        };
        let coverage = (summary.samples as f64 / expected.max(1) as f64).min(1.0);
        let unknown = self.unknown("");
        Measure {
            finding: self.judged(&summary, coverage),
            coverage,
            summary: Some(summary),
            shares: self.shares(samples),
            days: statistics::days(samples, zone),
            hours: statistics::hours_of_day(samples, zone),
            worst: statistics::worst_hours(samples, self.greater_is_worse(), WORST_HOURS),
            business: statistics::summary(seasons.in_business(samples, zone)),
            load: seasons.load(samples, zone),
            ..unknown
        }
    }

    fn judged(&self, summary: &Summary, coverage: f64) -> Finding {
        let bad = self.bad(summary);
        let show = |value| Quantity::new(value, self.unit);
        let words = if self.greater_is_worse() { "at most" } else { "at least" };
        let mut seen = format!("95 % of the time {words} {}, median {}", show(bad), show(summary.p50));
        if let Some(bands) = self.bands {
            seen += &format!(" ({})", bands.expected(self.unit));
        }
        if let Some(gap) = gap(coverage) {
            seen += &format!("; {gap}");
        }
        let band = covered(self.bands.map_or(Band::Good, |bands| bands.band(bad)), coverage);
        let finding = Finding::new(band, self.name, seen).value(bad, self.unit).source(self.query);
        match self.hint.filter(|_| !band.is_fine()) {
            Some(hint) => finding.hint(hint),
            None => finding,
        }
    }

    fn shares(&self, samples: &[Sample]) -> Vec<(Band, f64)> {
        let Some(bands) = self.bands else { return Vec::new() };
        let share = |band: Band| {
            let of_band = samples.iter().filter(|sample| bands.band(sample.value) == band).count();
            (band, of_band as f64 / samples.len().max(1) as f64)
        };
        [Band::Excellent, Band::Good, Band::Warning, Band::Critical].map(share).to_vec()
    }
}

/// What is said where the period was not measured whole.
pub fn gap(coverage: f64) -> Option<String> {
    (coverage < FULL_COVERAGE).then(|| format!("only {:.0} % of the time was measured", coverage * 100.0))
}

/// A verdict on so much of the period: what was hardly measured is unknown, what has gaps is to look at.
pub fn covered(band: Band, coverage: f64) -> Band {
    match band {
        _ if coverage < LEAST_COVERAGE => Band::Unknown,
        band if coverage < FULL_COVERAGE => band.max(Band::Warning),
        band => band,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bands::Printed;

    fn subject(bands: Option<&Bands>) -> Subject<'_> {
        Subject { name: "x", unit: Unit::Milliseconds, bands, query: "x", hint: Some("do") }
    }

    fn bands(good: &str, critical: &str) -> Bands {
        let printed = Printed { excellent: None, good: good.into(), warning: None, critical: critical.into() };
        Bands::try_from(printed).unwrap()
    }

    fn samples(value: impl Fn(i64) -> f64) -> Vec<Sample> {
        (0..1000).map(|n| Sample { at: n * 300, value: value(n) }).collect()
    }

    #[test]
    fn a_month_is_judged_by_what_nearly_all_of_it_was() {
        let seasons = Seasons::default();
        let low = bands("<10", ">100");
        let of = |samples: &[Sample], expected| subject(Some(&low)).measured(samples, expected, &seasons, Tz::UTC);
        // One in a hundred is bad: told in the shares, and no reason to call the month bad.
        let rare = of(&samples(|n| if n % 100 == 0 { 500.0 } else { 5.0 }), 1000);
        assert_eq!((rare.finding.band, rare.shares[3]), (Band::Good, (Band::Critical, 0.01)));
        assert_eq!(rare.worst.len(), 5);
        let often = of(&samples(|n| if n % 10 == 0 { 500.0 } else { 5.0 }), 1000);
        assert_eq!((often.finding.band, often.finding.hint.as_deref()), (Band::Critical, Some("do")));
        let high = bands(">100", "<10");
        let slow =
            subject(Some(&high)).measured(&samples(|n| if n % 10 == 0 { 5.0 } else { 500.0 }), 1000, &seasons, Tz::UTC);
        assert_eq!((slow.finding.band, slow.greater_is_worse), (Band::Critical, false));
    }

    #[test]
    fn what_was_not_measured_is_not_good() {
        let low = bands("<10", ">100");
        let seasons = Seasons::default();
        let of =
            |samples: &[Sample], expected| subject(Some(&low)).measured(samples, expected, &seasons, Tz::UTC).finding;
        let good = samples(|_| 1.0);
        assert_eq!(of(&good, 1000).band, Band::Good);
        let half = of(&good, 1200);
        assert!(half.band == Band::Warning && half.seen.contains("only 83 %"), "{half:?}");
        assert_eq!(of(&good, 2100).band, Band::Unknown);
        assert_eq!(of(&[], 1000).band, Band::Unknown);
        assert_eq!(of(&samples(|_| f64::NAN), 1000).band, Band::Unknown);
    }
}
