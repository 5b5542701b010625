//! What containers need, by their observed peaks: more than a limit gives, or much less.

use std::collections::BTreeMap;

use super::AdviceRequest;
use crate::{
    adapters::{
        prometheus::{Prometheus, Sample},
        target::TargetError,
    },
    model::{
        failure::chain,
        finding::{Finding, Unit},
        reports::advice::Area,
        units::ByteSize,
    },
};

const TITLE: &str = "Limits of containers";
/// Nothing is said of containers that are known for fewer days.
const LEAST_DAYS: f64 = 14.0;
/// A limit is generous beyond so many times what is needed.
const GENEROUS: f64 = 2.0;
/// A container that the kernel killed for want of memory wanted more than its peak.
const KILLED: f64 = 1.5;
const MIB: f64 = 1_048_576.0;
/// The peaks, not what was there when somebody looked.
const PEAK: &str = "max by (name) (max_over_time(container_memory_working_set_bytes{name!=\"\"}[30d]))";
const LIMIT: &str = "max by (name) (container_spec_memory_limit_bytes{name!=\"\"})";
const KILLS: &str = "sum by (name) (increase(container_oom_events_total{name!=\"\"}[30d]))";
const CPU: &str =
    "max by (name) (quantile_over_time(0.95, rate(container_cpu_usage_seconds_total{name!=\"\"}[10m])[30d:10m]))";
/// Hours in which it was there at all.
const HOURS: &str = "max by (name) (count_over_time(container_memory_working_set_bytes{name!=\"\"}[30d:1h]))";

/// What is known of a container.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Known {
    peak: Option<f64>,
    limit: Option<f64>,
    kills: f64,
    cpu: Option<f64>,
    days: f64,
}

pub(super) async fn look(request: &AdviceRequest<'_>) -> Area {
    let prometheus = match super::super::prometheus(request.stack, request.prometheus) {
        Ok(prometheus) => prometheus,
        Err(why) => return Area::unknown(TITLE, why),
    };
    let known = match ask(&prometheus, request).await {
        Ok(known) => known,
        Err(error) => return Area::unknown(TITLE, format!("Prometheus: {}", chain(&error))),
    };
    if known.is_empty() {
        return Area::unknown(
            TITLE,
            "no data: Prometheus has no container_memory_working_set_bytes with names (of cAdvisor)",
        );
    }
    let young = known.values().filter(|known| known.days < LEAST_DAYS).count();
    let old = known.iter().filter(|(_, known)| known.days >= LEAST_DAYS);
    let findings = old.filter_map(|(name, known)| judged(name, known, request.headroom)).collect();
    let mut looked = format!(
        "{} containers: the peak of their memory over 30 days and {} % against their limits",
        known.len(),
        request.headroom
    );
    if young > 0 {
        looked += &format!("; {young} of them known for less than {LEAST_DAYS} days, of which nothing is said");
    }
    Area::new(TITLE, looked, findings)
}

async fn ask(prometheus: &Prometheus, request: &AdviceRequest<'_>) -> Result<BTreeMap<String, Known>, TargetError> {
    let mut known: BTreeMap<String, Known> = BTreeMap::new();
    for (query, set) in [
        (PEAK, (|k, v| k.peak = Some(v)) as fn(&mut Known, f64)),
        (LIMIT, |k, v| k.limit = (v > 0.0).then_some(v)),
        (KILLS, |k, v| k.kills = v),
        (CPU, |k, v| k.cpu = Some(v)),
        (HOURS, |k, v| k.days = v / 24.0),
    ] {
        for Sample { labels, value } in prometheus.query(query, request.now).await?.result {
            let name = labels.get("name").filter(|_| value.is_finite());
            if let Some(name) = name {
                set(known.entry(name.clone()).or_default(), value);
            }
        }
    }
    known.retain(|_, known| known.peak.is_some());
    Ok(known)
}

/// The service's name in compose, by the name that compose gives to containers: `project-service-1`.
fn service(name: &str) -> &str {
    let without_number = name.rsplit_once(['-', '_']).filter(|(_, n)| n.bytes().all(|b| b.is_ascii_digit()));
    let without_number = without_number.map_or(name, |(rest, _)| rest);
    without_number.split_once(['-', '_']).map_or(without_number, |(_, service)| service)
}

fn judged(name: &str, known: &Known, headroom: f64) -> Option<Finding> {
    let peak = known.peak?;
    let factor = if known.kills >= 1.0 { KILLED } else { 1.0 + headroom / 100.0 };
    let mib = (peak * factor / MIB).ceil();
    let needed = mib * MIB;
    let show = |bytes: f64| ByteSize(format!("{bytes:.0}").parse().unwrap_or(0)).to_string();
    let problem = match known.limit {
        _ if known.kills >= 1.0 => format!(
            "was killed {:.0} times for want of memory: its peak is only what its limit let it have",
            known.kills
        ),
        None => "has no limit: a leak takes the memory of everybody else".to_owned(),
        Some(limit) if limit < needed => {
            format!("its limit of {} leaves less than {headroom} % above that", show(limit))
        }
        Some(limit) if limit > needed * GENEROUS => {
            format!("its limit of {} is {:.1} times that", show(limit), limit / peak)
        }
        Some(_) => return None,
    };
    let cpu = known.cpu.map_or_else(String::new, |cpu| format!(", processors {cpu:.2} (p95)"));
    let seen = format!("peak of {:.0} days {}{cpu}; {problem}", known.days, show(peak));
    let cpus = known.cpu.map_or_else(String::new, |cpu| {
        let cpus = (cpu * (1.0 + headroom / 100.0) * 20.0).ceil().max(1.0) / 20.0;
        format!("\n      cpus: \"{cpus:.2}\"    # optional: only where others must be protected from it")
    });
    let hint = format!(
        "services:\n  {}:\n    deploy:\n      resources:\n        limits:\n          memory: {mib:.0}M",
        service(name)
    );
    let hint = if cpus.is_empty() { hint } else { format!("{hint}{}", cpus.replace("\n      ", "\n          ")) };
    let finding = if known.kills >= 1.0 { Finding::critical(name, seen) } else { Finding::warning(name, seen) };
    Some(finding.value(peak, Unit::Bytes).source(PEAK).hint(hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Band;

    #[test]
    fn limits_follow_the_peak() {
        let known = |peak: f64, limit: Option<f64>, kills| Known {
            peak: Some(peak * MIB),
            limit: limit.map(|l| l * MIB),
            kills,
            cpu: None,
            days: 30.0,
        };
        let hint = |known: Known| judged("prod-api-1", &known, 15.0).map(|f| (f.band, f.hint.unwrap_or_default()));
        assert_eq!(hint(known(100.0, Some(150.0), 0.0)), None, "as it should be");
        let (band, patch) = hint(known(100.0, None, 0.0)).unwrap();
        assert!(band == Band::Warning && patch.contains("  api:\n") && patch.contains("memory: 115M"), "{patch}");
        assert!(hint(known(100.0, Some(110.0), 0.0)).is_some(), "too little");
        assert!(hint(known(100.0, Some(400.0), 0.0)).is_some(), "too much");
        let (band, patch) = hint(known(100.0, Some(100.0), 2.0)).unwrap();
        assert!(band == Band::Critical && patch.contains("memory: 150M"), "{patch}");
    }

    #[test]
    fn services_are_found_in_names() {
        assert_eq!((service("prod-api-1"), service("prod_event-bus_2"), service("api")), ("api", "event-bus", "api"));
    }
}
