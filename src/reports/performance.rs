//! The month's measures: every `[metric.*]` of `maint.toml`, and how available its services were.

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::{
    history::{self, Stretch},
    window::Window,
};
use crate::{
    adapters::prometheus::Prometheus,
    model::{
        bands::{Bands, Printed},
        failure::chain,
        finding::Unit,
        reports::{
            performance::{self, Measure, MonthPart, Service, Subject},
            seasons::Seasons,
            statistics::{self, Sample},
        },
        stack::Stack,
        targets::Metric,
    },
};

/// From one look at a measure to the next.
const STEP: TimeDelta = TimeDelta::minutes(5);
/// Earlier months are looked at less densely.
const TREND_STEP: TimeDelta = TimeDelta::hours(1);

/// What to look at.
pub struct PerformanceRequest<'a> {
    /// The host's stack.
    pub stack: &'a Stack,
    /// The Prometheus server that knows of availability; `None`: the only one.
    pub prometheus: Option<&'a str>,
    /// The zone of days and hours.
    pub zone: Tz,
    /// What it is about.
    pub window: &'a Window,
    /// The windows before it, the newest first.
    pub earlier: &'a [Window],
    /// What gives 1 where a service is there and 0 where it is not.
    pub availability: &'a str,
    /// The label that names a service.
    pub service: &'a str,
    /// How available it should be, in percent.
    pub available: f64,
}

impl PerformanceRequest<'_> {
    fn seasons(&self) -> &Seasons {
        &self.stack.reports.capacity.seasons
    }

    fn stretch(&self) -> Stretch {
        Stretch { from: self.window.from, to: self.window.to, step: STEP }
    }

    /// Looks at everything.
    pub async fn measure(&self) -> (Vec<Measure>, Vec<Service>) {
        let (availability, services) = self.availability().await;
        let mut measures = vec![availability];
        for (name, metric) in &self.stack.targets.metric {
            measures.push(self.metric(name, metric).await);
        }
        (measures, services)
    }

    async fn metric(&self, name: &str, metric: &Metric) -> Measure {
        let subject = Subject {
            name,
            unit: metric.unit,
            bands: metric.bands.as_ref(),
            query: &metric.query,
            hint: metric.hint.as_deref(),
        };
        let prometheus = match super::prometheus(self.stack, Some(&metric.prometheus)) {
            Ok(prometheus) => prometheus,
            Err(why) => return subject.unknown(why),
        };
        let stretch = self.stretch();
        let (samples, warnings) = match history::of_metric(&prometheus, metric, &stretch).await {
            Ok(read) => read,
            Err(error) => return subject.unknown(format!("Prometheus: {}", chain(&error))),
        };
        let mut measure = subject.measured(&samples, stretch.looks(), self.seasons(), self.zone);
        measure.trend = self.trend(&prometheus, metric, &subject, &measure).await;
        for warning in warnings {
            measure.finding.seen += &format!("; Prometheus warns: {warning}");
        }
        measure
    }

    /// The months before, as far as they are known, and this one.
    async fn trend(
        &self,
        prometheus: &Prometheus,
        metric: &Metric,
        subject: &Subject<'_>,
        measure: &Measure,
    ) -> Vec<MonthPart> {
        let Some(summary) = &measure.summary else { return Vec::new() };
        let part = |period: &str, summary: &statistics::Summary| MonthPart {
            period: period.to_owned(),
            middle: summary.p50,
            bad: Some(subject.bad(summary)),
        };
        let mut parts = vec![part(&self.window.period, summary)];
        for window in self.earlier {
            let stretch = Stretch { from: window.from, to: window.to, step: TREND_STEP };
            // A server that keeps less than it is asked for has no earlier month; whether it answers was seen above.
            let Ok((samples, _)) = history::of_metric(prometheus, metric, &stretch).await else { break };
            // What is left of a month that is being forgotten is no month.
            if samples.len() < stretch.looks() / 2 {
                break;
            }
            let Some(summary) = statistics::summary(samples.iter().map(|s| s.value)) else { break };
            parts.push(part(&window.period, &summary));
        }
        parts.reverse();
        parts
    }

    /// A service is there where one of its instances is; the stack is as available as the least available service.
    async fn availability(&self) -> (Measure, Vec<Service>) {
        let minutes = STEP.num_minutes();
        let query = format!("100 * max by ({}) (avg_over_time({}[{minutes}m]))", self.service, self.availability);
        let bands = bands(self.available);
        let subject = Subject {
            name: "availability",
            unit: Unit::Percent,
            bands: bands.as_ref(),
            query: &query,
            hint: Some("see when each service was down, and the runs and alerts of that time"),
        };
        let prometheus = match super::prometheus(self.stack, self.prometheus) {
            Ok(prometheus) => prometheus,
            Err(why) => return (subject.unknown(why), Vec::new()),
        };
        let stretch = self.stretch();
        let series = match history::apart(&prometheus, &query, &stretch).await {
            Ok(series) => series,
            Err(error) => return (subject.unknown(format!("Prometheus: {}", chain(&error))), Vec::new()),
        };
        let looks = stretch.looks().max(1) as f64;
        let mut services: Vec<(Service, Vec<Sample>)> = Vec::new();
        for of in series {
            let name = of.labels.get(self.service).cloned().unwrap_or_else(|| "(without a name)".into());
            let Some(summary) = statistics::summary(of.samples.iter().map(|s| s.value)) else { continue };
            let minutes_down = of.samples.iter().map(|s| (100.0 - s.value) / 100.0 * minutes as f64).sum();
            let coverage = (summary.samples as f64 / looks).min(1.0);
            services.push((Service { name, percent: summary.mean, minutes_down, coverage }, of.samples));
        }
        services.sort_by(|a, b| a.0.percent.total_cmp(&b.0.percent));
        let Some((worst, samples)) = services.first() else {
            return (subject.unknown("no data: the query gave nothing in the whole period"), Vec::new());
        };
        let mut measure = subject.measured(samples, stretch.looks(), self.seasons(), self.zone);
        let band = bands.as_ref().map_or(measure.finding.band, |bands| bands.band(worst.percent));
        let least = services.iter().map(|(service, _)| service).min_by(|a, b| a.coverage.total_cmp(&b.coverage));
        let least = least.unwrap_or(worst);
        // A service that was not measured may have been down: nobody would know.
        measure.coverage = least.coverage;
        // Availability is a mean, not a quantile: an hour's outage counts as an hour.
        measure.finding.band = performance::covered(band, least.coverage);
        measure.finding.seen = format!(
            "{:.3} % ({}; expected above {} %), {:.0} minutes down",
            worst.percent, worst.name, self.available, worst.minutes_down
        );
        if let Some(gap) = performance::gap(least.coverage) {
            measure.finding.seen += &format!("; of {} {gap}", least.name);
        }
        measure.finding = measure.finding.clone().value(worst.percent, Unit::Percent);
        measure.trend = self.availability_before(&prometheus, worst.percent).await;
        (measure, services.into_iter().map(|(service, _)| service).collect())
    }

    /// The least available service of each month before, as far as that is known, and of this one.
    async fn availability_before(&self, prometheus: &Prometheus, now: f64) -> Vec<MonthPart> {
        let part = |window: &Window, middle| MonthPart { period: window.period.clone(), middle, bad: None };
        let mut parts = vec![part(self.window, now)];
        for window in self.earlier {
            let (length, step) = ((window.to - window.from).num_seconds(), STEP.num_seconds());
            let there = format!("(max by ({}) ({}))[{length}s:{step}s]", self.service, self.availability);
            let least = length / step / 2;
            let mean = format!("min(100 * avg_over_time({there})) and max(count_over_time({there})) >= {least}");
            // A server that keeps less than it is asked for has no earlier month; whether it answers was seen before.
            let Ok(answer) = prometheus.query(&mean, window.to).await else { break };
            let Some(sample) = answer.result.first().filter(|sample| sample.value.is_finite()) else { break };
            parts.push(part(window, sample.value));
        }
        parts.reverse();
        parts
    }
}

/// Good above what is asked for; critical where ten times as much is missing.
fn bands(available: f64) -> Option<Bands> {
    let critical = (100.0 - (100.0 - available) * 10.0).max(0.0);
    let printed =
        Printed { excellent: None, good: format!(">{available}"), warning: None, critical: format!("<{critical}") };
    Bands::try_from(printed).ok()
}
