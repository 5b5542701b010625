//! What many samples say: quantiles, days, hours.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::model::forecast::robust::{quantile, sorted};

/// A value at an instant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// Seconds since 1970.
    pub at: i64,
    /// The value.
    pub value: f64,
}

/// Samples in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many there are.
    pub samples: usize,
    /// Their mean.
    pub mean: f64,
    /// The least.
    pub least: f64,
    /// Five of a hundred are not above it.
    pub p5: f64,
    /// The middle one.
    pub p50: f64,
    /// 95 of a hundred are not above it.
    pub p95: f64,
    /// 99 of a hundred are not above it.
    pub p99: f64,
    /// The greatest.
    pub most: f64,
}

/// Sums up; `None` where there is nothing.
pub fn summary(values: impl IntoIterator<Item = f64>) -> Option<Summary> {
    let values = sorted(values);
    let at = |q| quantile(&values, q);
    Some(Summary {
        samples: values.len(),
        mean: values.iter().sum::<f64>() / values.len() as f64,
        least: at(0.0)?,
        p5: at(0.05)?,
        p50: at(0.5)?,
        p95: at(0.95)?,
        p99: at(0.99)?,
        most: at(1.0)?,
    })
}

/// A day in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DayPart {
    /// The day, in the report's zone.
    pub date: NaiveDate,
    /// Its p5.
    pub low: f64,
    /// Its median.
    pub middle: f64,
    /// Its p95.
    pub high: f64,
}

/// An hour in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HourPart {
    /// When it begins.
    pub start: DateTime<Utc>,
    /// Its mean.
    pub mean: f64,
}

fn local(sample: &Sample, zone: Tz) -> Option<DateTime<Tz>> {
    DateTime::from_timestamp(sample.at, 0).map(|at| at.with_timezone(&zone))
}

/// Day by day.
pub fn days(samples: &[Sample], zone: Tz) -> Vec<DayPart> {
    let mut days: BTreeMap<NaiveDate, Vec<f64>> = BTreeMap::new();
    for sample in samples {
        if let Some(at) = local(sample, zone) {
            days.entry(at.date_naive()).or_default().push(sample.value);
        }
    }
    let part = |(date, values)| {
        let summary = summary(values)?;
        Some(DayPart { date, low: summary.p5, middle: summary.p50, high: summary.p95 })
    };
    days.into_iter().filter_map(part).collect()
}

/// The median at each hour of the day; `None` where nothing was measured at it.
pub fn hours_of_day(samples: &[Sample], zone: Tz) -> Vec<Option<f64>> {
    let mut hours: Vec<Vec<f64>> = vec![Vec::new(); 24];
    for sample in samples {
        let hour = local(sample, zone).and_then(|at| usize::try_from(at.hour()).ok());
        if let Some(of_hour) = hour.and_then(|hour| hours.get_mut(hour)) {
            of_hour.push(sample.value);
        }
    }
    hours.into_iter().map(|values| quantile(&sorted(values), 0.5)).collect()
}

/// The worst hours by their mean, the worst first; `greater` says whether greater values are worse.
pub fn worst_hours(samples: &[Sample], greater: bool, most: usize) -> Vec<HourPart> {
    let mut hours: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for sample in samples {
        let hour = hours.entry(sample.at.div_euclid(3600)).or_default();
        *hour = (hour.0 + sample.value, hour.1 + 1.0);
    }
    let part = |(hour, (sum, count)): (i64, (f64, f64))| {
        Some(HourPart { start: DateTime::from_timestamp(hour * 3600, 0)?, mean: sum / count })
    };
    let mut parts: Vec<_> = hours.into_iter().filter_map(part).collect();
    parts.sort_by(|a, b| if greater { b.mean.total_cmp(&a.mean) } else { a.mean.total_cmp(&b.mean) });
    parts.truncate(most);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        // Three days of five-minute samples, from midnight in Berlin, as high as the hour in Berlin is late.
        let start = "2026-08-01T22:00:00Z".parse::<DateTime<Utc>>().unwrap().timestamp();
        (0..3 * 288).map(|n| Sample { at: start + n * 300, value: ((n / 12) % 24) as f64 }).collect()
    }

    #[test]
    fn days_and_hours_are_the_zones() {
        let berlin = chrono_tz::Europe::Berlin;
        let days = days(&samples(), berlin);
        assert_eq!(
            days.iter().map(|d| d.date.to_string()).collect::<Vec<_>>(),
            ["2026-08-02", "2026-08-03", "2026-08-04"]
        );
        assert_eq!(days[0].middle, 11.5);
        let hours = hours_of_day(&samples(), berlin);
        assert_eq!((hours[0], hours[23]), (Some(0.0), Some(23.0)));
    }

    #[test]
    fn the_worst_hours_come_first_in_either_direction() {
        let worst = worst_hours(&samples(), true, 2);
        assert_eq!(worst.iter().map(|h| h.mean).collect::<Vec<_>>(), [23.0, 23.0]);
        assert_eq!(worst_hours(&samples(), false, 1)[0].mean, 0.0);
    }

    #[test]
    fn nothing_has_no_summary() {
        assert_eq!(summary([f64::NAN]), None);
        let of_ten = summary((0..=10).map(f64::from)).unwrap();
        assert_eq!((of_ten.samples, of_ten.p50, of_ten.most), (11, 5.0, 10.0));
    }
}
