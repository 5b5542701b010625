//! A measure over a time: peak, mean, and the change against the same time a week before.

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{join, try_join};

use super::{measured, metric, unasked};
use crate::{
    adapters::{
        prometheus::{Prometheus, Series},
        target::TargetError,
    },
    model::{
        finding::{Finding, Quantity},
        stack::Stack,
        targets::{Metric, Several},
    },
};

/// As many points as a page can show, and more than a peak needs.
const POINTS: i64 = 480;
const WEEK: TimeDelta = TimeDelta::days(7);

/// What a measure did in a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Course {
    pub(super) peak: f64,
    pub(super) mean: f64,
    /// How much of the time has points.
    pub(super) covered: f64,
}

/// Peak and mean of a metric in a time, and the change of the mean against a week before.
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
    let (now, before) =
        join(course(&server, metric, (from, to)), course(&server, metric, (from - WEEK, to - WEEK))).await;
    let source = metric::source(metric);
    let found = match now {
        Err(error) => vec![unasked(peak, &error)],
        Ok(None) => vec![Finding::unknown(peak, "there is no data of this time")],
        Ok(Some(course)) => {
            let mean = mean(&format!("{name}, mean {when}"), course, before.ok().flatten(), metric);
            vec![measured(peak, course.peak, metric.unit, metric.bands.as_ref()), mean]
        }
    };
    let hinted = |finding: Finding| match &metric.hint {
        Some(hint) if !finding.band.is_fine() => finding.hint(hint.as_str()),
        _ => finding,
    };
    found.into_iter().map(|finding| hinted(finding.source(source.as_str()))).collect()
}

fn mean(subject: &str, course: Course, before: Option<Course>, metric: &Metric) -> Finding {
    let finding = measured(subject, course.mean, metric.unit, metric.bands.as_ref());
    let against = match before.filter(|before| before.mean != 0.0 && before.mean.is_finite()) {
        Some(before) => {
            let percent = (course.mean - before.mean) / before.mean.abs() * 100.0;
            format!("{percent:+.0} % against a week before ({})", Quantity::new(before.mean, metric.unit))
        }
        None => "nothing to compare with a week before".to_owned(),
    };
    // What was not scraped was not seen.
    let gaps = if course.covered < 0.95 {
        format!(", {:.0} % of the time has data", course.covered * 100.0)
    } else {
        String::new()
    };
    Finding { seen: format!("{}, {against}{gaps}", finding.seen), ..finding }
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
            Some(whole) => server.range(whole, (from, to), step).await.map(|answer| Some(answer.result)),
            None => Ok(None),
        }
    };
    let (value, whole) = try_join(server.range(&metric.query, (from, to), step), whole).await?;
    let points = match whole {
        Some(whole) => shares(&together(&value.result, Several::Sum, metric), &together(&whole, Several::Sum, metric)),
        None => together(&value.result, metric.several, metric),
    };
    let asked = (to - from).num_seconds() / step.num_seconds() + 1;
    Ok(summed_up(&points, asked as f64, metric))
}

fn summed_up(points: &[(f64, f64)], asked: f64, metric: &Metric) -> Option<Course> {
    let values: Vec<f64> = points.iter().map(|(_, value)| *value).filter(|value| value.is_finite()).collect();
    // The peak of what should be high is its low.
    let worse = |a: f64, b: f64| metric.bands.as_ref().map_or(a.max(b), |bands| bands.worse(a, b));
    let peak = values.iter().copied().reduce(worse)?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    Some(Course { peak, mean, covered: values.len() as f64 / asked })
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

/// Shares in percent, where both are known.
fn shares(parts: &[(f64, f64)], wholes: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let whole = |time: f64| wholes.iter().find(|(at, _)| (at - time).abs() < 0.001).map(|(_, value)| *value);
    parts.iter().filter_map(|(time, part)| Some((*time, part / whole(*time)? * 100.0))).collect()
}
