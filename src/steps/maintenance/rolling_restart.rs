//! `rolling_restart`: services of the compose project made anew from new images, one after the other, behind a health gate.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::{compose::Compose, docker::Docker},
    model::{
        finding::{Finding, Unit},
        outcome::Outcome,
        span::SpanOrZero,
        stack::Stack,
        units::{Elapsed, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
    upkeep::rolling::{self, Gate, How, RollError, Rolled, Wish},
};

const WAIT: Duration = Duration::from_secs(300);
const SETTLE: Duration = Duration::from_secs(10);

/// Services of the compose project made anew from new images, one after the other, in the order of what they need, each behind
/// a health gate. Where a service may be there twice, new containers are made beside the old ones; else it is made anew in its
/// place, and it is said that it was away. What does not become healthy is taken back. Databases are refused.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollingRestart {
    /// The services, by name.
    services: Vec<String>,
    /// Those of them that are updated though their name, image or volumes say that they keep data.
    #[serde(default)]
    allow_stateful: Vec<String>,
    /// Volumes, by name or place in the container, that several containers of a service may write to at once. A service with
    /// another one is made anew in its place.
    #[serde(default)]
    shared: Vec<String>,
    /// How long a new container may take to become healthy, e.g. `10m`. Default: `5m`.
    #[serde(default)]
    wait: Option<SpanOrZero>,
    /// How long it must stay so before it counts; of one without a health check, how long it must run. Default: `10s`.
    #[serde(default)]
    settle: Option<SpanOrZero>,
    /// The service that passes requests on, e.g. `{ service = "nginx" }`: it reads its configuration again before old
    /// containers go, and after.
    #[serde(default)]
    proxy: Option<Proxy>,
    /// A command that is run in an old container before it is stopped, e.g. `["/bin/drain"]`.
    #[serde(default)]
    drain: Vec<String>,
}

/// Who passes requests on.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Proxy {
    /// Its service.
    service: String,
    /// What says in its container whether its configuration is right. Default: `["nginx", "-t"]`.
    #[serde(default)]
    test: Option<Vec<String>>,
    /// What makes it read it again. Default: `["nginx", "-s", "reload"]`.
    #[serde(default)]
    reload: Option<Vec<String>>,
}

impl Proxy {
    fn resolve(&self) -> rolling::Proxy {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        rolling::Proxy {
            service: self.service.clone(),
            test: self.test.clone().unwrap_or_else(|| words(&["nginx", "-t"])),
            reload: self.reload.clone().unwrap_or_else(|| words(&["nginx", "-s", "reload"])),
        }
    }
}

/// What is wrong where `maint.toml` names no project.
pub(super) fn no_compose(stack: &Stack, key: &'static str) -> Option<Problem> {
    let message = "which project? maint.toml has no `[compose]` with `project` and `files`";
    stack.compose.is_none().then(|| Problem { key, message: message.to_owned() })
}

/// The engine and the compose program for the host's project.
pub(super) async fn of_project(context: &StepContext) -> Result<(Docker, Compose), StepError> {
    let host = &context.stack.docker.host;
    let docker = Docker::connect(host).await.map_err(RollError::from)?;
    // `problems` refuses a job without one.
    let project = context.stack.compose.as_ref().ok_or(RollError::NoProject)?;
    let compose = Compose::find(project, host, &context.cancel).await.map_err(RollError::from)?;
    Ok((docker, compose))
}

impl RollingRestart {
    fn wish(&self) -> Wish {
        Wish {
            services: self.services.clone(),
            allow_stateful: self.allow_stateful.clone(),
            shared: self.shared.clone(),
            gate: Gate {
                wait: self.wait.map_or(WAIT, |span| span.0),
                settle: self.settle.map_or(SETTLE, |span| span.0),
            },
            proxy: self.proxy.as_ref().map(Proxy::resolve),
            drain: self.drain.clone(),
        }
    }
}

impl StepKind for RollingRestart {
    const SUMMARY: &'static str = "Makes services anew from new images, one after the other, behind a health gate";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let mut problems: Vec<Problem> = no_compose(stack, "services").into_iter().collect();
        let mut wrong = |key, message| problems.push(Problem { key, message });
        if self.services.is_empty() {
            wrong("services", "which services? name them: none is updated by default".to_owned());
        }
        for (number, service) in self.services.iter().enumerate() {
            if self.services[..number].contains(service) {
                wrong("services", format!("`{service}` is named twice"));
            }
            if rolling::is_named_as_store(service) && !self.allow_stateful.contains(service) {
                let message = format!(
                    "`{service}` is named as a database, and is not updated here; if it is none, add it to allow_stateful"
                );
                wrong("services", message);
            }
        }
        if let Some(other) = self.allow_stateful.iter().find(|name| !self.services.contains(name)) {
            wrong("allow_stateful", format!("`{other}` is not among `services`"));
        }
        problems
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let wish = self.wish();
        let mut lines = vec![format!(
            "update {}, in the order of what they need: skip what runs from its image already",
            self.services.join(", ")
        )];
        lines.push(format!(
            "each: new containers beside the old ones where two may be, else in its place; healthy within {} and for {}, else \
             taken back",
            humantime::format_duration(wish.gate.wait),
            humantime::format_duration(wish.gate.settle),
        ));
        lines.extend(wish.proxy.map(|proxy| {
            format!("reload {} before old containers go, and after ({})", proxy.service, proxy.reload.join(" "))
        }));
        lines
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let (docker, compose) = of_project(context).await?;
        let by = rolling::By {
            run: context.run,
            step: &context.step,
            state_dir: &context.stack.state_dir,
            docker: &docker,
            compose: &compose,
            events: &context.events,
            cancel: &context.cancel,
        };
        let done = rolling::roll(&by, &self.wish()).await?;
        if let Some(healed) = &done.healed {
            context.events.note(format!("{}: left by {}, put right: {}", healed.service, healed.owner, healed.what));
        }
        let mut findings: Vec<Finding> = done.rolled.iter().flat_map(found).collect();
        findings.extend(done.untouched.iter().map(|service| {
            Finding::warning(service.clone(), "not touched, for the one before it could not be updated")
        }));
        let report = StepReport::found(format!("{}; by {}", summary(&done), compose.shown()), findings);
        let any_new = done.rolled.iter().any(|rolled| matches!(rolled.how, How::Beside { .. } | How::InPlace));
        let outcome = if report.outcome == Outcome::Ok && any_new { Outcome::Changed } else { report.outcome };
        let tools =
            BTreeMap::from([compose.tool(), ("docker".to_owned(), docker.version().await.map_err(RollError::from)?)]);
        Ok(StepReport { outcome, tools, ..report })
    }
}

fn summary(done: &rolling::Outcome) -> String {
    let of = |is: fn(&How) -> bool| {
        let n = done.rolled.iter().filter(|rolled| is(&rolled.how)).count();
        u64::try_from(n).unwrap_or(u64::MAX)
    };
    let updated = of(|how| matches!(how, How::Beside { .. } | How::InPlace));
    let mut parts = vec![format!("{} updated", count(updated, "service"))];
    let away = of(|how| matches!(how, How::InPlace));
    parts.extend((away > 0).then(|| format!("{away} of them not without downtime")));
    let same = of(|how| matches!(how, How::UpToDate));
    parts.extend((same > 0).then(|| format!("{same} up to date")));
    let kept = of(|how| matches!(how, How::Kept { .. }));
    parts.extend((kept > 0).then(|| format!("{kept} taken back")));
    parts.extend((!done.untouched.is_empty()).then(|| format!("not touched: {}", done.untouched.join(", "))));
    parts.join(", ")
}

/// What is to be told of a service; its number is how long the update took.
fn found(rolled: &Rolled) -> Vec<Finding> {
    let service = &rolled.service;
    let from = rolled.from.as_deref().map_or_else(|| "nothing".to_owned(), short);
    let change = match rolled.from.as_ref() == Some(&rolled.to) {
        true => format!("as its files say now, from the same image {}", short(&rolled.to)),
        false => format!("{from} → {}", short(&rolled.to)),
    };
    let took = Elapsed(rolled.took);
    let seconds = rolled.took.as_secs_f64();
    match &rolled.how {
        How::UpToDate => vec![Finding::good(service, format!("up to date, {}", short(&rolled.to)))],
        How::Beside { replicas, warnings } => {
            let containers = count(u64::try_from(*replicas).unwrap_or(u64::MAX), "container");
            let seen = format!("updated without downtime: {change}, {containers} in {took}");
            let mut findings = vec![Finding::good(service, seen).value(seconds, Unit::Seconds)];
            findings.extend(warnings.iter().map(|warning| Finding::warning(service, warning.clone())));
            findings
        }
        How::InPlace => {
            let why = rolled.in_place.as_deref().unwrap_or_default();
            let seen = format!("updated in its place, not without downtime, for {why}: {change}, in {took}");
            vec![Finding::good(service, seen).value(seconds, Unit::Seconds)]
        }
        How::Kept { why, by } => {
            let seen = format!("NOT updated ({change}): {why}; {by}");
            let hint = "see what the new one said, in the log of this step: maint runs show RUN";
            vec![Finding::critical(service, seen).value(seconds, Unit::Seconds).hint(hint)]
        }
    }
}

fn short(id: &str) -> String {
    id.chars().take("sha256:".len() + 12).collect()
}
