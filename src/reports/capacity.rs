//! Carries the host's resources on: where they will be, and when they are full.

use chrono::{DateTime, Utc};

use super::history;
use crate::{
    adapters::{
        prometheus::{Labels, Prometheus},
        target::TargetError,
    },
    model::{
        failure::chain,
        finding::Finding,
        reports::capacity::{CapacitySettings, Expectation, Known, Limit, Outlook, Resource, outlook},
        stack::Stack,
    },
};

/// Of a resource with more series only those nearest their limits are shown; all are looked at.
const SHOWN: usize = 12;
/// Labels that say nothing to people who know their host.
const DULL: &[&str] = &["job", "fstype", "__name__"];

/// Looks at every resource. Gives the outlooks, the worst first, and what was left out.
pub async fn look(stack: &Stack, settings: &CapacitySettings, now: DateTime<Utc>) -> (Vec<Outlook>, Vec<String>) {
    let mut left_out = settings.left_out.clone();
    let prometheus = match super::prometheus(stack, settings.prometheus.as_deref()) {
        Ok(prometheus) => prometheus,
        Err(why) => return (settings.resources.iter().map(|r| unknown(r, why.clone())).collect(), left_out),
    };
    let mut outlooks = Vec::new();
    for resource in &settings.resources {
        match one(&prometheus, resource, settings, now).await {
            Ok(found) if found.is_empty() => {
                let why = "no data: its query gives no series";
                outlooks.push(unknown(resource, why.to_owned()));
            }
            Ok(mut found) => {
                found.sort_by(|a, b| {
                    (b.finding.band, used(b))
                        .partial_cmp(&(a.finding.band, used(a)))
                        .unwrap_or(std::cmp::Ordering::Equal)
                });
                if found.len() > SHOWN {
                    left_out.push(format!(
                        "{}: {} more series, none of them worse than those shown",
                        resource.name,
                        found.len() - SHOWN
                    ));
                    found.truncate(SHOWN);
                }
                outlooks.extend(found);
            }
            Err(error) => outlooks.push(unknown(resource, format!("Prometheus: {}", chain(&error)))),
        }
    }
    // What is worst is read first; of what is equally bad, what the runbook names first.
    outlooks.sort_by_key(|outlook| std::cmp::Reverse(outlook.finding.band));
    (outlooks, left_out)
}

/// How much of its limit is used; what has none comes after what has, the largest first.
fn used(outlook: &Outlook) -> (bool, f64) {
    let now = outlook.now.unwrap_or(0.0);
    outlook.limit.filter(|limit| *limit > 0.0).map_or((false, now), |limit| (true, now / limit))
}

fn unknown(resource: &Resource, why: String) -> Outlook {
    let hint = format!(
        "name a query that Prometheus has series for in [capacity.resource.{0}], or leave it out: skip = [\"{0}\"] in [capacity]",
        resource.name
    );
    Outlook {
        name: resource.name.clone(),
        unit: resource.unit,
        now: None,
        limit: None,
        history: Vec::new(),
        expectation: Expectation::Refused { why: why.clone() },
        month_end: None,
        finding: Finding::unknown(&resource.name, why).source(&resource.query).hint(hint),
    }
}

async fn one(
    prometheus: &Prometheus,
    resource: &Resource,
    settings: &CapacitySettings,
    now: DateTime<Utc>,
) -> Result<Vec<Outlook>, TargetError> {
    let series = history::daily_peaks(prometheus, &resource.query, settings.history, now).await?;
    let limits = match &resource.limit {
        Limit::None => Vec::new(),
        Limit::Number(number) => vec![(Labels::new(), *number)],
        Limit::Query(query) => {
            let samples = prometheus.query(query, now).await?.result;
            samples.into_iter().map(|s| (history::unnamed(&s.labels), s.value)).collect()
        }
    };
    let several = series.len() > 1;
    let all: Vec<Labels> = series.iter().map(|(labels, _)| labels.clone()).collect();
    let of = |(labels, days)| {
        let name =
            if several { format!("{} {}", resource.name, told_apart(&labels, &all)) } else { resource.name.clone() };
        let limit = limit_of(&labels, &limits);
        let mut found = outlook(resource, Known { name, days, limit }, settings.horizon, &settings.seasons);
        if limit.is_none() && resource.limit != Limit::None {
            found.finding =
                Finding::unknown(&found.name, "where it is full is not known: the limit's query gives no such series")
                    .source(match &resource.limit {
                        Limit::Query(query) => query,
                        Limit::None | Limit::Number(_) => &resource.query,
                    });
        }
        found
    };
    Ok(series.into_iter().map(of).collect())
}

/// The limit with the same labels; else the only one, where it names nothing that contradicts.
fn limit_of(labels: &Labels, limits: &[(Labels, f64)]) -> Option<f64> {
    let same = limits.iter().find(|(of, _)| of == labels);
    let only = || {
        let fits = |of: &Labels| of.iter().all(|(key, value)| labels.get(key).is_none_or(|own| own == value));
        limits.first().filter(|(of, _)| limits.len() == 1 && fits(of))
    };
    same.or_else(only).map(|(_, value)| *value).filter(|value| value.is_finite())
}

/// The values of those labels by which a series differs from the others.
fn told_apart(labels: &Labels, all: &[Labels]) -> String {
    let differs = |key: &str| all.iter().any(|other| other.get(key) != labels.get(key));
    let telling = labels.iter().filter(|(key, _)| differs(key) && !DULL.contains(&key.as_str()));
    // A mount point says what a device would only repeat.
    let mount = labels.contains_key("mountpoint") && differs("mountpoint");
    let values: Vec<&str> =
        telling.filter(|(key, _)| !(mount && *key == "device")).map(|(_, value)| value.as_str()).collect();
    values.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn limits_belong_to_their_series() {
        let (a, b) = (labels(&[("mountpoint", "/")]), labels(&[("mountpoint", "/var")]));
        let both = [(a.clone(), 1.0), (b.clone(), 2.0)];
        assert_eq!((limit_of(&b, &both), limit_of(&labels(&[]), &both)), (Some(2.0), None));
        assert_eq!(limit_of(&a, &[(Labels::new(), 5.0)]), Some(5.0));
        assert_eq!(limit_of(&a, &[(b, 5.0)]), None, "another one's limit is nobody's");
    }

    #[test]
    fn series_are_named_by_what_tells_them_apart() {
        let of =
            |mount, device| labels(&[("instance", "h"), ("mountpoint", mount), ("device", device), ("fstype", "ext4")]);
        let all = [of("/", "sda1"), of("/var", "sda2")];
        assert_eq!(told_apart(&all[1], &all), "/var");
    }
}
