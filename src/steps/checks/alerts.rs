//! `alerts`: what fires, and that alerts arrive at all.

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{chosen, unasked, unknown_name, unknown_names};
use crate::{
    adapters::{
        alertmanager::{Alert, Alertmanager},
        clock,
        prometheus::{Labels, Prometheus},
        target::TargetError,
    },
    model::{
        finding::{Finding, Unit},
        stack::Stack,
        targets,
        units::{age, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Values of the label `severity` that tell somebody to act now.
const GRAVE: &[&str] = &["critical", "page", "error", "emergency", "fatal", "high", "p0", "p1"];

/// Grafana's own alerts in place of a rule's that it could not ask: what that rule watches, nobody knows.
const UNASKED: &[&str] = &["DatasourceError", "DatasourceNoData"];

/// Alerts that nobody resolved: of each `[alertmanager.NAME]`, and of Prometheus where that cannot be asked. Silenced and
/// inhibited ones are not counted.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alerts {
    /// Which `[alertmanager.NAME]`. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// Which `[prometheus.NAME]` are asked for their own alerts as well. Default: none where there is an `[alertmanager.…]`,
    /// else all.
    #[serde(default)]
    prometheus: Option<Vec<String>>,
}

impl Alerts {
    fn servers<'a>(&'a self, stack: &'a Stack) -> Vec<&'a String> {
        match &self.prometheus {
            Some(names) => names.iter().collect(),
            None if stack.targets.alertmanager.is_empty() => stack.targets.prometheus.keys().collect(),
            None => Vec::new(),
        }
    }
}

impl StepKind for Alerts {
    const SUMMARY: &'static str = "Looks for alerts that nobody resolved";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let targets = &stack.targets;
        let mut problems: Vec<Problem> = self
            .prometheus
            .iter()
            .flatten()
            .filter_map(|name| unknown_name("prometheus", "prometheus", name, &targets.prometheus))
            .collect();
        if self.names.is_some() || self.servers(stack).is_empty() {
            problems.extend(unknown_names("names", "alertmanager", &self.names, &targets.alertmanager));
        }
        problems
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let keepers = chosen(&self.names, &stack.targets.alertmanager).into_iter();
        let keepers = keepers.map(|(name, keeper)| format!("ask {name} ({}) for alerts", keeper.web.url));
        keepers.chain(self.servers(stack).into_iter().map(|name| format!("ask Prometheus {name} for alerts"))).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let keepers = chosen(&self.names, &context.stack.targets.alertmanager).into_iter();
        let of_keepers = join_all(keepers.map(|(name, keeper)| of_keeper(name, keeper, &context.stack)));
        let servers = self.servers(&context.stack).into_iter();
        let of_servers = join_all(servers.map(|name| of_server(name, &context.stack)));
        let (a, b) = futures_util::future::join(of_keepers, of_servers).await;
        let findings: Vec<Finding> = a.into_iter().chain(b).flatten().collect();
        let bad = findings.iter().filter(|finding| !finding.band.is_fine()).count();
        let summary = match bad {
            0 => "nothing fires".to_owned(),
            bad => format!("{} to look at", count(bad as u64, "thing")),
        };
        Ok(StepReport::found(summary, findings))
    }
}

async fn of_keeper(name: &str, config: &targets::Alertmanager, stack: &Stack) -> Vec<Finding> {
    let opened = Alertmanager::open(config);
    let source = opened.as_ref().map(Alertmanager::source).unwrap_or_default();
    let asked = match opened {
        Ok(keeper) => keeper.alerts().await,
        Err(error) => Err(error),
    };
    let findings = match asked {
        Ok(alerts) => judge(name, config.watchdog.as_deref(), &alerts),
        Err(error) => {
            let hint = crate::model::failure::Diagnose::hint(&error);
            let unknown =
                unasked(name, &error).hint(hint.unwrap_or_else(|| "make it reachable, and look again".into()));
            let mut findings = vec![unknown];
            if let Some(server) = &config.prometheus {
                findings.extend(of_server(server, stack).await);
            }
            findings
        }
    };
    let sourced = |finding: Finding| if finding.source.is_some() { finding } else { finding.source(source.as_str()) };
    findings.into_iter().map(sourced).collect()
}

fn judge(name: &str, watchdog: Option<&str>, alerts: &[Alert]) -> Vec<Finding> {
    let is_watchdog = |alert: &Alert| watchdog.is_some_and(|w| alert.labels.get("alertname").is_some_and(|a| a == w));
    let mut findings = Vec::new();
    match watchdog {
        Some(watchdog) if !alerts.iter().any(is_watchdog) => {
            let seen = format!("the alert {watchdog}, which always fires, is missing: alerts do not arrive");
            findings
                .push(Finding::unknown(name, seen).hint("look whether Prometheus runs and knows this Alertmanager"));
        }
        _ => {}
    }
    let firing: Vec<&Alert> = alerts.iter().filter(|alert| !is_watchdog(alert)).collect();
    if firing.is_empty() && findings.is_empty() {
        findings.push(Finding::good(name, "no unresolved alerts").value(0.0, Unit::Count));
    }
    let now = clock::now();
    findings.extend(
        firing.into_iter().map(|alert| {
            finding(&alert.labels, &alert.annotations, &format!("fires for {}", age(now - alert.starts_at)))
        }),
    );
    findings
}

/// The alerts of a Prometheus server itself: silences are not known there.
async fn of_server(name: &str, stack: &Stack) -> Vec<Finding> {
    let subject = format!("Prometheus {name}");
    let Some(config) = stack.targets.prometheus.get(name) else { return Vec::new() };
    let ask = async { Prometheus::open(config)?.alerts().await };
    let alerts = match ask.await {
        Ok(alerts) => alerts,
        Err(error) => {
            let error: TargetError = error;
            return vec![unasked(subject, &error).hint("make it reachable, and look again")];
        }
    };
    let source = format!("GET {}/api/v1/alerts", config.web.url);
    let watchdogs: Vec<&str> = stack.targets.alertmanager.values().filter_map(|a| a.watchdog.as_deref()).collect();
    let is_watchdog = |labels: &Labels| labels.get("alertname").is_some_and(|name| watchdogs.contains(&name.as_str()));
    let mut findings: Vec<Finding> = alerts
        .iter()
        .filter(|alert| !is_watchdog(&alert.labels))
        .map(|alert| {
            let found = finding(&alert.labels, &alert.annotations, &alert.state);
            let pending = alert.state == "pending";
            if pending { Finding { band: crate::model::finding::Band::Warning, ..found } } else { found }
        })
        .collect();
    if findings.is_empty() {
        findings.push(Finding::good(subject, "no alerts").value(0.0, Unit::Count));
    }
    findings.into_iter().map(|finding| finding.source(source.as_str())).collect()
}

fn finding(labels: &Labels, annotations: &Labels, state: &str) -> Finding {
    let text = |key: &str| annotations.get(key).filter(|text| !text.is_empty());
    let name = labels.get("alertname").map_or("an alert without a name", String::as_str);
    let rule = labels.get("rulename").filter(|_| UNASKED.contains(&name));
    let place = rule.or_else(|| ["service", "instance", "job"].iter().find_map(|key| labels.get(*key)));
    let subject = place.map_or_else(|| name.to_owned(), |place| format!("{name} ({place})"));
    let said = text("summary").or(text("description")).or(text("Error"));
    let seen = said.map_or_else(|| state.to_owned(), |said| format!("{state}: {said}"));
    if rule.is_some() {
        let seen = format!("Grafana cannot ask what this rule needs: {seen}");
        return Finding::unknown(subject, seen).hint("look at the rule's data source, and at its query");
    }
    let severity = labels.get("severity").map(|severity| severity.to_lowercase());
    let grave = severity.is_some_and(|severity| GRAVE.contains(&severity.as_str()));
    let finding = if grave { Finding::critical(subject, seen) } else { Finding::warning(subject, seen) };
    match text("runbook_url") {
        Some(url) => finding.hint(format!("see {url}")),
        None => finding.hint("resolve what it is about, or silence it with a reason"),
    }
}
