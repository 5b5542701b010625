//! A measure over a time: peak, mean, and the change against the same time a week before.

use std::{iter::once, time::Duration};

use chrono::{DateTime, Days, TimeDelta, Utc};
use chrono_tz::Tz;
use futures_util::future::{join, try_join};

use super::{measured, metric, unasked};
use crate::{
    adapters::{
        prometheus::{Prometheus, Series},
        target::TargetError,
    },
    model::{
        finding::{Band, Finding, Quantity, Unit},
        stack::Stack,
        targets::{Metric, Several},
        units::age,
    },
};

/// As many points as a page can show, and more than a peak needs.
const POINTS: i64 = 480;
const WEEK: TimeDelta = TimeDelta::days(7);
/// A longer time without points is told, with when it was. Prometheus itself bridges five minutes.
const GAP: TimeDelta = TimeDelta::minutes(10);
/// Less of a time than this is not the whole of it.
const WHOLE: f64 = 0.95;

/// What a measure did in a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Course {
    pub(super) peak: f64,
    pub(super) mean: f64,
    /// How much of the time has points.
    pub(super) covered: f64,
    /// The longest time without any: from when, and for how long.
    gap: Option<(DateTime<Utc>, TimeDelta)>,
    /// What the server warned of.
    warning: Option<String>,
}

impl Course {
    /// Why it may not be the whole of the time: what was not measured was not seen, and may have been anything.
    pub(super) fn doubt(&self, zone: Tz) -> Option<(Band, String)> {
        let percent = self.covered * 100.0;
        match (&self.gap, &self.warning) {
            (Some((from, length)), _) => {
                let from = from.with_timezone(&zone).format("%a %H:%M");
                let seen = format!("no data for {} from {from}; {percent:.0} % of the time has data", age(*length));
                Some((Band::Unknown, seen))
            }
            _ if self.covered < WHOLE => Some((Band::Unknown, format!("only {percent:.0} % of the time has data"))),
            (None, Some(warning)) => Some((Band::Warning, format!("the server warns: {warning}"))),
            (None, None) => None,
        }
    }
}

/// Peak and mean of a metric in a time, of events their number as well, and the change against a week before.
pub(super) async fn findings(
    name: &str,
    when: &str,
    metric: &Metric,
    stack: &Stack,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Vec<Finding> {
    let peak = format!("{name}, peak {when}");
    let Some(config) = stack.targets.prometheus.get(&metric.prometheus) else { return Vec::new() };
    let server = match Prometheus::open(config) {
        Ok(server) => server,
        Err(error) => return vec![unasked(peak, &error)],
    };
    let zone = stack.timezone;
    let earlier = (week_before(from, zone), week_before(to, zone));
    let (now, before) = join(course(&server, metric, (from, to)), course(&server, metric, earlier)).await;
    let source = metric::source(metric);
    let found = match now {
        Err(error) => vec![unasked(peak, &error)],
        Ok(None) => vec![Finding::unknown(peak, "there is no data of this time")],
        Ok(Some(course)) => {
            let mean = mean(&format!("{name}, mean {when}"), &course, before, metric);
            let mut found = vec![measured(peak, course.peak, metric.unit, metric.bands.as_ref()), mean];
            if metric.unit == Unit::PerSecond {
                let events = course.mean * course.covered * (to - from).num_seconds() as f64;
                found.push(measured(format!("{name}, total {when}"), events, Unit::Count, None));
            }
            found.extend(
                course.doubt(zone).map(|(band, seen)| Finding::new(band, format!("{name}, gaps {when}"), seen)),
            );
            found
        }
    };
    let hinted = |finding: Finding| match (&metric.hint, finding.band) {
        // What to do about a bad value is no help where there is none.
        (Some(hint), Band::Warning | Band::Critical) => finding.hint(hint.as_str()),
        (_, Band::Unknown) if finding.hint.is_none() => {
            finding.hint("look whether Prometheus ran and scraped then: up and its targets")
        }
        _ => finding,
    };
    found.into_iter().map(|finding| hinted(finding.source(source.as_str()))).collect()
}

/// The same time by the wall a week before: where the clocks changed in between, that is no whole week.
fn week_before(at: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
    let before = at.with_timezone(&zone).checked_sub_days(Days::new(7));
    before.map_or(at - WEEK, |before| before.with_timezone(&Utc))
}

fn mean(subject: &str, course: &Course, before: Result<Option<Course>, TargetError>, metric: &Metric) -> Finding {
    let finding = measured(subject, course.mean, metric.unit, metric.bands.as_ref());
    let against = match before {
        Err(_) => "a week before could not be asked".to_owned(),
        Ok(Some(before)) if before.mean != 0.0 => {
            let percent = (course.mean - before.mean) / before.mean.abs() * 100.0;
            let part = if before.covered < WHOLE {
                format!(", of {:.0} % of that time", before.covered * 100.0)
            } else {
                String::new()
            };
            let then = Quantity::new(before.mean, metric.unit);
            format!("{percent:+.0} % against a week before ({then}{part})")
        }
        Ok(_) => "nothing to compare with a week before".to_owned(),
    };
    Finding { seen: format!("{}, {against}", finding.seen), ..finding }
}

/// What a metric did in a time; `None`: there is no data of it.
///
/// # Errors
/// When the server cannot be asked.
pub(super) async fn course(
    server: &Prometheus,
    metric: &Metric,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Option<Course>, TargetError> {
    let step = TimeDelta::seconds(((to - from).num_seconds() / POINTS).max(15));
    let whole = async {
        match &metric.share_of {
            Some(whole) => server.range(whole, (from, to), step).await.map(Some),
            None => Ok(None),
        }
    };
    let (value, whole) = try_join(server.range(&metric.query, (from, to), step), whole).await?;
    let warnings = value.warnings.iter().chain(whole.iter().flat_map(|whole| &whole.warnings));
    let warning = warnings.into_iter().next().cloned();
    let points = match whole {
        Some(whole) => {
            shares(&together(&value.result, Several::Sum, metric), &together(&whole.result, Several::Sum, metric))
        }
        None => known(together(&value.result, metric.several, metric)),
    };
    let summed = summed_up(&points, (from, to), step, metric);
    Ok(summed.map(|course| Course { warning, ..course }))
}

fn summed_up(
    points: &[(f64, f64)],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    step: TimeDelta,
    metric: &Metric,
) -> Option<Course> {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    // The peak of what should be high is its low.
    let worse = |a: f64, b: f64| metric.bands.as_ref().map_or(a.max(b), |bands| bands.worse(a, b));
    let peak = values.iter().copied().reduce(worse)?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let asked = (to - from).num_seconds() / step.num_seconds() + 1;
    let gap = longest_gap(points, (from, to)).filter(|(_, length)| *length > GAP.max(step * 2));
    Some(Course { peak, mean, covered: points.len() as f64 / asked as f64, gap, warning: None })
}

/// The longest time between two points, and before the first and after the last.
fn longest_gap(
    points: &[(f64, f64)],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Option<(DateTime<Utc>, TimeDelta)> {
    let seconds = |seconds: f64| TimeDelta::from_std(Duration::try_from_secs_f64(seconds).ok()?).ok();
    let (begin, end) = (from.timestamp() as f64, to.timestamp() as f64);
    let times = || points.iter().map(|(time, _)| *time);
    let stretches = once(begin).chain(times()).zip(times().chain(once(end)));
    let (at, length) = stretches.map(|(a, b)| (a, b - a)).max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((from + seconds((at - begin).max(0.0))?, seconds(length.max(0.0))?))
}

/// Several series as one: at each time their sum, mean, or worst.
fn together(series: &[Series], several: Several, metric: &Metric) -> Vec<(f64, f64)> {
    let mut at: Vec<(f64, Vec<f64>)> = Vec::new();
    let mut points: Vec<(f64, f64)> = series.iter().flat_map(|series| series.points.iter().copied()).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (time, value) in points {
        match at.last_mut() {
            // Times of a range are its steps, the same for every series.
            Some((last, values)) if (*last - time).abs() < 0.001 => values.push(value),
            _ => at.push((time, vec![value])),
        }
    }
    let one = |values: &[f64]| match several {
        Several::Sum => values.iter().sum(),
        Several::Mean => values.iter().sum::<f64>() / values.len() as f64,
        Several::Worst => values
            .iter()
            .copied()
            .reduce(|a, b| metric.bands.as_ref().map_or(a.max(b), |bands| bands.worse(a, b)))
            .unwrap_or(f64::NAN),
    };
    at.iter().map(|(time, values)| (*time, one(values))).collect()
}

/// What is a number.
fn known(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.into_iter().filter(|(_, value)| value.is_finite()).collect()
}

/// Shares in percent, where both are known. A share of nothing is no number, and yet was measured: in a quiet night there are
/// no messages that could fail.
fn shares(parts: &[(f64, f64)], wholes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let whole = |time: f64| wholes.iter().find(|(at, _)| (at - time).abs() < 0.001).map(|(_, value)| *value);
    let both = parts.iter().filter_map(|(time, part)| Some((*time, *part, whole(*time)?)));
    let known = both.filter(|(_, part, whole)| part.is_finite() && whole.is_finite());
    known.map(|(time, part, whole)| (time, part / whole * 100.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_week_before_is_the_same_time_by_the_wall() {
        let berlin = chrono_tz::Europe::Berlin;
        // 08:00 in Berlin each: the clocks went back on 25 October, and forward on 29 March.
        assert_eq!(week_before(at("2026-10-26T07:00:00Z"), berlin), at("2026-10-19T06:00:00Z"));
        assert_eq!(week_before(at("2026-03-30T06:00:00Z"), berlin), at("2026-03-23T07:00:00Z"));
        assert_eq!(week_before(at("2026-11-26T07:00:00Z"), berlin), at("2026-11-19T07:00:00Z"));
        // 02:30 on 5 April; on 29 March there was none.
        assert_eq!(week_before(at("2026-04-05T00:30:00Z"), berlin), at("2026-03-29T00:30:00Z"));
    }

    #[test]
    fn a_share_of_nothing_was_measured_and_no_number_was_not() {
        let shares =
            shares(&[(0.0, 1.0), (1.0, 0.0), (2.0, f64::NAN), (3.0, 1.0)], &[(0.0, 4.0), (1.0, 0.0), (2.0, 4.0)]);
        assert_eq!(shares.len(), 2, "{shares:?}");
        assert_eq!(shares[0], (0.0, 25.0));
        assert!(shares[1].1.is_nan());
    }

    #[test]
    fn gaps_at_both_ends_are_gaps() {
        let (from, to) = (at("2026-11-26T00:00:00Z"), at("2026-11-26T01:00:00Z"));
        let begin = from.timestamp() as f64;
        let gap = |points: &[f64]| {
            let points: Vec<(f64, f64)> = points.iter().map(|at| (begin + at, 1.0)).collect();
            longest_gap(&points, (from, to)).map(|(at, length)| ((at - from).num_seconds(), length.num_seconds()))
        };
        assert_eq!(gap(&[3600.0]), Some((0, 3600)));
        assert_eq!(gap(&[0.0, 600.0]), Some((600, 3000)));
        assert_eq!(gap(&[600.0, 2400.0, 3600.0]), Some((600, 1800)));
        assert_eq!(gap(&[]), Some((0, 3600)));
    }
}
