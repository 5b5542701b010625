//! `metric`: measures of the stack by Prometheus queries, and whether what they say is of now.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use futures_util::future::{join, join_all, try_join, try_join_all};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{at_best, chosen, measured, summary, unasked, unknown_names};
use crate::{
    adapters::{
        clock,
        prometheus::{Answered, Labels, Prometheus, Sample},
        target::TargetError,
    },
    model::{
        finding::{Band, Finding, Unit},
        promql,
        stack::Stack,
        targets::{self, Several},
        units::{Elapsed, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Measures of the stack, each `[metric.NAME]` against its bands. No data, `NaN`, and samples that are too old are unknown.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// Which. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
}

impl StepKind for Metric {
    const SUMMARY: &'static str = "Holds measures of the stack against their bands, by Prometheus queries";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_names("names", "metric", &self.names, &stack.targets.metric)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let chosen = chosen(&self.names, &stack.targets.metric).into_iter();
        chosen.map(|(_, metric)| format!("ask Prometheus {}: {}", metric.prometheus, source(metric))).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let targets = &context.stack.targets;
        let chosen = chosen(&self.names, &targets.metric);
        let servers: BTreeSet<&String> = chosen.iter().map(|(_, metric)| &metric.prometheus).collect();
        let now = clock::now();
        let opened: BTreeMap<&String, _> = servers
            .into_iter()
            .filter_map(|name| Some((name, targets.prometheus.get(name)?)))
            .map(|(name, config)| (name, (config, Prometheus::open(config))))
            .collect();
        let scraped = join_all(opened.iter().map(|(name, (_, server))| scraped(name, server.as_ref(), now)));
        let asked = join_all(chosen.iter().filter_map(|(name, metric)| {
            let (config, server) = opened.get(&metric.prometheus)?;
            Some(ask(name, metric, config, server.as_ref(), now))
        }));
        let (measures, scraped) = join(asked, scraped).await;
        let findings: Vec<Finding> = measures.into_iter().chain(scraped).collect();
        Ok(StepReport::found(summary("measure", &findings), findings))
    }
}

type Opened<'a> = Result<&'a Prometheus, &'a TargetError>;

/// Whether the server has what it is to scrape: `up`.
async fn scraped(name: &str, server: Opened<'_>, now: DateTime<Utc>) -> Finding {
    let subject = format!("Prometheus {name}");
    let asked = match server {
        Ok(server) => server.query("up", now).await,
        Err(error) => return unasked(subject, error).source("up"),
    };
    let finding = match asked {
        Err(error) => unasked(subject, &error).hint("make it reachable, and look again"),
        Ok(Answered { result, .. }) if result.is_empty() => {
            Finding::unknown(subject, "it scrapes nothing").hint("look at its targets: Status › Targets")
        }
        Ok(Answered { result, .. }) => {
            let down: Vec<&Sample> = result.iter().filter(|sample| sample.value != 1.0).collect();
            let all = count(result.len() as u64, "target");
            match down.as_slice() {
                [] => Finding::good(subject, format!("{all}, all up")).value(0.0, Unit::Count),
                [first, ..] => {
                    let seen = format!("{} of {all} down: {}", down.len(), labels(&first.labels));
                    Finding::warning(subject, seen)
                        .value(down.len() as f64, Unit::Count)
                        .hint("see what is down: Status › Targets")
                }
            }
        }
    };
    finding.source("up")
}

/// What a metric's value comes from, as findings show it: the runbook's own words.
pub(super) fn source(metric: &targets::Metric) -> String {
    match &metric.share_of {
        Some(whole) => format!("{}  as a share of  {whole}", metric.query),
        None => metric.query.clone(),
    }
}

async fn ask(
    name: &str,
    metric: &targets::Metric,
    config: &targets::Prometheus,
    server: Opened<'_>,
    now: DateTime<Utc>,
) -> Finding {
    let finding = match server {
        Ok(server) => match answers(metric, server, now).await {
            Ok(answers) => judge(name, metric, config, &answers),
            Err(error) => unasked(name, &error).hint("make Prometheus reachable, or look at the query"),
        },
        Err(error) => unasked(name, error),
    };
    let finding = finding.source(source(metric));
    // What to do about a bad value is no help where there is none.
    match (&metric.hint, finding.band) {
        (Some(hint), Band::Warning | Band::Critical) => finding.hint(hint.as_str()),
        _ => finding,
    }
}

struct Answers {
    value: Answered<Vec<Sample>>,
    whole: Option<Answered<Vec<Sample>>>,
    /// Selector, and the age of its oldest sample; `None`: it has none now.
    ages: Vec<(String, Option<f64>)>,
}

async fn answers(metric: &targets::Metric, server: &Prometheus, now: DateTime<Utc>) -> Result<Answers, TargetError> {
    let selectors = promql::selectors(&metric.query).into_iter();
    let selectors = selectors.chain(metric.share_of.iter().flat_map(|whole| promql::selectors(whole)));
    let ages = try_join_all(selectors.map(|selector| async move {
        let query = format!("time() - min(timestamp({selector}))");
        let age = server.query(&query, now).await?.result.first().map(|sample| sample.value);
        Ok((selector, age))
    }));
    let whole = async {
        match &metric.share_of {
            Some(whole) => server.query(whole, now).await.map(Some),
            None => Ok(None),
        }
    };
    let (value, (whole, ages)) = try_join(server.query(&metric.query, now), try_join(whole, ages)).await?;
    Ok(Answers { value, whole, ages })
}

fn judge(name: &str, metric: &targets::Metric, config: &targets::Prometheus, answers: &Answers) -> Finding {
    let look = "look at what exports it, and at the server's targets";
    if answers.value.result.is_empty() || answers.whole.as_ref().is_some_and(|whole| whole.result.is_empty()) {
        return Finding::unknown(name, "the query has no data: nothing exports it, or its target is down").hint(look);
    }
    let stale_after = config.stale_after.as_secs_f64();
    for (selector, age) in &answers.ages {
        match age {
            None => {
                let seen = format!("there is no sample of {selector} now: its target is down, or it is gone");
                return Finding::unknown(name, seen).hint(look);
            }
            Some(age) if *age > stale_after => {
                let age = Elapsed(std::time::Duration::try_from_secs_f64(*age).unwrap_or_default());
                let seen = format!("its newest sample is {age} old, of {selector}; it says nothing of now");
                return Finding::unknown(name, seen).hint(look);
            }
            Some(_) => {}
        }
    }
    let sum = |answered: &Answered<Vec<Sample>>| answered.result.iter().map(|s| s.value).sum::<f64>();
    let (value, place) = match &answers.whole {
        Some(whole) if sum(whole) == 0.0 => {
            return Finding::unknown(name, "a share of nothing: the whole is 0").hint(look);
        }
        Some(whole) => (sum(&answers.value) / sum(whole) * 100.0, None),
        None => several(metric, &answers.value.result),
    };
    let finding = measured(name, value, metric.unit, metric.bands.as_ref());
    let finding = match place.filter(|place| !place.is_empty() && answers.value.result.len() > 1) {
        Some(place) => Finding { seen: format!("{}, at {}", finding.seen, labels(place)), ..finding },
        None => finding,
    };
    let warnings = answers.value.warnings.iter().chain(answers.whole.iter().flat_map(|whole| &whole.warnings));
    match warnings.into_iter().next() {
        // What is warned of may make the answer a part of itself.
        Some(warning) => {
            let seen = format!("{}; the server warns: {warning}", finding.seen);
            at_best(Finding { seen, ..finding }, Band::Warning)
        }
        None => finding,
    }
}

/// One number of several series, and which of them it is where it is one's.
fn several<'a>(metric: &targets::Metric, samples: &'a [Sample]) -> (f64, Option<&'a Labels>) {
    let sum: f64 = samples.iter().map(|sample| sample.value).sum();
    match metric.several {
        Several::Sum => (sum, None),
        Several::Mean => (sum / samples.len() as f64, None),
        Several::Worst => {
            let worse = |a: &'a Sample, b: &'a Sample| {
                let worse = metric.bands.as_ref().map_or(a.value.max(b.value), |bands| bands.worse(a.value, b.value));
                // By bits: NaN is not equal to itself.
                if worse.to_bits() == a.value.to_bits() { a } else { b }
            };
            let worst = samples.iter().reduce(worse);
            worst.map_or((f64::NAN, None), |worst| (worst.value, Some(&worst.labels)))
        }
    }
}

/// `job="a", instance="b"`
fn labels(labels: &Labels) -> String {
    let shown = labels.iter().filter(|(key, _)| *key != "__name__").map(|(key, value)| format!("{key}=\"{value}\""));
    shown.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bands::Bands;

    fn sample(instance: &str, value: f64) -> Sample {
        Sample { labels: Labels::from([("instance".into(), instance.into())]), value }
    }

    fn metric(several: Several) -> targets::Metric {
        targets::Metric {
            prometheus: "main".into(),
            query: "x".into(),
            share_of: None,
            several,
            unit: Unit::Milliseconds,
            bands: Some(Bands::below(10.0, 100.0)),
            hint: None,
        }
    }

    #[test]
    fn several_series_are_one_number() {
        let samples = [sample("a", 1.0), sample("b", 50.0), sample("c", 3.0)];
        let (worst, place) = several(&metric(Several::Worst), &samples);
        assert_eq!((worst, labels(place.unwrap()).as_str()), (50.0, "instance=\"b\""));
        assert_eq!(several(&metric(Several::Sum), &samples).0, 54.0);
        assert_eq!(several(&metric(Several::Mean), &samples).0, 18.0);
        let with_nan = [sample("a", 1.0), sample("b", f64::NAN), sample("c", 3.0)];
        assert!(several(&metric(Several::Worst), &with_nan).0.is_nan(), "one that is no number must not hide");
    }
}
