//! What Prometheus knows of the past, read piece by piece: neither it nor maint holds a month of everything at once.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::{
    adapters::{
        prometheus::{Labels, Prometheus},
        target::TargetError,
    },
    model::{
        bands::Bands,
        forecast::Day,
        reports::{capacity::day_that_ends, statistics::Sample},
        targets::{Metric, Several},
    },
};

/// A piece with more points than this is halved, one with much less doubled.
const POINTS: usize = 40_000;
/// Prometheus refuses more points of a series.
const POINTS_OF_SERIES: i64 = 10_000;

/// A stretch of time, and how densely it is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    /// The first instant.
    pub from: DateTime<Utc>,
    /// The end, left out.
    pub to: DateTime<Utc>,
    /// From one look to the next.
    pub step: TimeDelta,
}

impl Stretch {
    /// How many looks it has.
    pub fn looks(&self) -> usize {
        let seconds = (self.to - self.from).num_seconds() / self.step.num_seconds().max(1);
        usize::try_from(seconds).unwrap_or(0)
    }
}

/// Calls `each` with the points of each series, piece by piece, and gives what the server warned of.
async fn read(
    prometheus: &Prometheus,
    query: &str,
    stretch: &Stretch,
    mut each: impl FnMut(&Labels, &[(f64, f64)]),
) -> Result<Vec<String>, TargetError> {
    let mut warnings = Vec::new();
    let most = i32::try_from(POINTS_OF_SERIES).unwrap_or(i32::MAX);
    let mut piece = stretch.step * 288.min(most);
    let mut from = stretch.from;
    while from < stretch.to {
        let last = (from + piece).min(stretch.to) - stretch.step;
        let answered = prometheus.range(query, (from, last.max(from)), stretch.step).await?;
        let points: usize = answered.result.iter().map(|series| series.points.len()).sum();
        for series in &answered.result {
            each(&series.labels, &series.points);
        }
        for warning in answered.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        from += piece;
        if points > POINTS {
            piece = (piece / 2).max(stretch.step);
        } else if points < POINTS / 4 {
            piece = (piece * 2).min(stretch.step * most);
        }
        // The server may align nothing: pieces begin where the one before ended.
        piece = stretch.step * i32::try_from((piece.num_seconds() / stretch.step.num_seconds()).max(1)).unwrap_or(most);
    }
    Ok(warnings)
}

/// Several series become one value at each instant.
#[derive(Debug, Default, Clone, Copy)]
struct Fold {
    sum: f64,
    count: f64,
    worst: Option<f64>,
}

impl Fold {
    fn add(&mut self, value: f64, bands: Option<&Bands>) {
        self.sum += value;
        self.count += 1.0;
        self.worst = Some(match (self.worst, bands) {
            (None, _) => value,
            (Some(worst), Some(bands)) => bands.worse(worst, value),
            (Some(worst), None) => worst.max(value),
        });
    }

    fn value(self, several: Several) -> f64 {
        match several {
            Several::Worst => self.worst.unwrap_or(f64::NAN),
            Several::Sum => self.sum,
            Several::Mean => self.sum / self.count,
        }
    }
}

type Folds = BTreeMap<i64, Fold>;

/// Seconds since 1970, of a time that the server gave.
fn whole(at: f64) -> Option<i64> {
    format!("{at:.0}").parse().ok()
}

async fn folded(
    prometheus: &Prometheus,
    query: &str,
    stretch: &Stretch,
    bands: Option<&Bands>,
    warnings: &mut Vec<String>,
) -> Result<Folds, TargetError> {
    let mut folds = Folds::new();
    let warned = read(prometheus, query, stretch, |_, points| {
        for (at, value) in points {
            if let Some(at) = whole(*at) {
                folds.entry(at).or_default().add(*value, bands);
            }
        }
    });
    warnings.extend(warned.await?);
    Ok(folds)
}

/// The samples of a metric, as its checks would have judged them, and what the server warned of.
///
/// # Errors
/// When the server does not answer, or refuses the query.
pub async fn of_metric(
    prometheus: &Prometheus,
    metric: &Metric,
    stretch: &Stretch,
) -> Result<(Vec<Sample>, Vec<String>), TargetError> {
    let mut warnings = Vec::new();
    let bands = metric.bands.as_ref();
    let folds = folded(prometheus, &metric.query, stretch, bands, &mut warnings).await?;
    let samples = match &metric.share_of {
        None => folds.into_iter().map(|(at, fold)| Sample { at, value: fold.value(metric.several) }).collect(),
        Some(whole) => {
            let of = folded(prometheus, whole, stretch, None, &mut warnings).await?;
            let share = |(at, whole): (i64, Fold)| {
                // What did not happen has no series: none of many is a share of nothing, none of none is no share.
                let part = folds.get(&at).map_or(0.0, |fold| fold.sum);
                (whole.sum != 0.0).then(|| Sample { at, value: 100.0 * part / whole.sum })
            };
            of.into_iter().filter_map(share).collect()
        }
    };
    Ok((samples, warnings))
}

/// A series that stays apart from others, by its labels.
#[derive(Debug, Clone, Default)]
pub struct Apart {
    /// Its labels, without the metric's name.
    pub labels: Labels,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// The samples of every series of a query.
///
/// # Errors
/// When the server does not answer, or refuses the query.
pub async fn apart(prometheus: &Prometheus, query: &str, stretch: &Stretch) -> Result<Vec<Apart>, TargetError> {
    let mut found: BTreeMap<Labels, Vec<Sample>> = BTreeMap::new();
    read(prometheus, query, stretch, |labels, points| {
        let samples = points.iter().filter_map(|(at, value)| Some(Sample { at: whole(*at)?, value: *value }));
        found.entry(unnamed(labels)).or_default().extend(samples);
    })
    .await?;
    Ok(found.into_iter().map(|(labels, samples)| Apart { labels, samples }).collect())
}

/// Labels without the metric's name.
pub fn unnamed(labels: &Labels) -> Labels {
    labels.iter().filter(|(key, _)| *key != "__name__").map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// The peaks of the last `days` whole days (of UTC) of each series of a query.
///
/// # Errors
/// When the server does not answer, or refuses the query.
pub async fn daily_peaks(
    prometheus: &Prometheus,
    query: &str,
    days: i64,
    now: DateTime<Utc>,
) -> Result<Vec<(Labels, Vec<Day>)>, TargetError> {
    let day = TimeDelta::days(1);
    let midnight = now.duration_trunc(day).unwrap_or(now);
    // A selector's every sample counts; what is computed is computed every five minutes.
    let peaks = if is_selector(query) {
        format!("max_over_time({query}[1d])")
    } else {
        format!("max_over_time(({query})[1d:5m])")
    };
    let stretch =
        Stretch { from: midnight - day * i32::try_from(days - 1).unwrap_or(0), to: midnight + day, step: day };
    let series = apart(prometheus, &peaks, &stretch).await?;
    let of = |series: Apart| {
        let peak = |sample: &Sample| {
            let day = day_that_ends(sample.at as f64)?;
            sample.value.is_finite().then_some(Day { day, value: sample.value })
        };
        (series.labels, series.samples.iter().filter_map(peak).collect::<Vec<_>>())
    };
    Ok(series.into_iter().map(of).filter(|(_, days)| !days.is_empty()).collect())
}

/// Whether a query is a plain selector, which takes a range by itself.
fn is_selector(query: &str) -> bool {
    crate::model::promql::selectors(query).first().is_some_and(|only| only == query.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_told_from_what_is_computed() {
        for plain in ["up", "up{job=\"a\"}", " node_memory_MemFree_bytes "] {
            assert!(is_selector(plain), "{plain}");
        }
        for computed in ["a - b", "sum(a)", "rate(a[5m])", "a offset 5m", "1"] {
            assert!(!is_selector(computed), "{computed}");
        }
    }
}
