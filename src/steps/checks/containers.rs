//! `containers`: do the project's containers run, and have they been?

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{late, unasked};
use crate::{
    adapters::{
        clock,
        docker::{Docker, Health, Replica, State},
        ledger::{Ledger, LedgerError},
    },
    model::{
        failure::chain,
        finding::{Finding, Unit},
        shell::word,
        span::Span,
        stack::Stack,
        units::{Elapsed, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So many restarts since the last look are more than an accident.
const MANY: f64 = 3.0;
/// As many earlier runs are looked through for how often containers had been restarted.
const RUNS: u32 = 10;

/// The project's containers: running, healthy, not restarted since the last look, not short of memory. They are found by
/// compose's labels.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Containers {
    /// How many must run.
    at_least: u32,
    /// The compose project. Default: that of `[compose]`.
    #[serde(default)]
    project: Option<String>,
    /// Services whose containers may have ended by themselves, with exit code 0.
    #[serde(default)]
    may_end: Vec<String>,
    /// How long the engine may take to answer. Default: `10s`.
    #[serde(default)]
    timeout: Option<Span>,
}

/// The project that a step is about.
pub(super) fn project<'a>(given: &'a Option<String>, stack: &'a Stack) -> Option<&'a str> {
    given.as_deref().or(stack.compose.as_ref().map(|compose| compose.name.as_str()))
}

/// What is wrong where no project is named.
pub(super) fn no_project(given: &Option<String>, stack: &Stack) -> Vec<Problem> {
    let message = "which compose project is it? There is no [compose] in maint.toml".to_owned();
    if project(given, stack).is_some() { Vec::new() } else { vec![Problem { key: "project", message }] }
}

impl StepKind for Containers {
    const SUMMARY: &'static str = "Looks whether the project's containers run, are healthy and have not been restarted";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        no_project(&self.project, stack)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let project = project(&self.project, stack).unwrap_or_default();
        vec![format!("look at the containers of the compose project {project}; at least {} must run", self.at_least)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let within = self.timeout.map_or(ANSWER_WITHIN, |span| span.0);
        let project = project(&self.project, &context.stack).unwrap_or_default();
        let ask = async { Docker::connect(&context.stack.docker.host).await?.replicas(project, None).await };
        let subject = format!("containers of {project}");
        let replicas = match tokio::time::timeout(within, ask).await {
            Ok(Ok(replicas)) => replicas,
            Ok(Err(error)) => return Ok(StepReport::found("", vec![unasked(subject, &error)])),
            Err(_) => return Ok(StepReport::found("", vec![late(subject, within)])),
        };
        let before = restarts_before(context).await;
        let now = clock::now();
        let mut findings = vec![self.running(project, &replicas)];
        if let Err(error) = &before {
            let finding = Finding::unknown("restarts", format!("how many there were before: {}", chain(error)));
            findings.push(finding.hint("look at the ledger: maint doctor"));
        }
        let before = before.unwrap_or_default();
        findings.extend(replicas.iter().map(|replica| self.judge(replica, before.get(&replica.name).copied(), now)));
        let bad = findings.iter().filter(|finding| !finding.band.is_fine()).count();
        let summary = match bad {
            0 => format!("{} running and as they should be", count(replicas.len() as u64, "container")),
            _ => format!("{} of {project}", count(replicas.len() as u64, "container")),
        };
        Ok(StepReport::found(summary, findings))
    }
}

impl Containers {
    fn running(&self, project: &str, replicas: &[Replica]) -> Finding {
        let running = replicas.iter().filter(|replica| replica.state == State::Running).count();
        let enough = u32::try_from(running).unwrap_or(u32::MAX) >= self.at_least;
        let seen = format!("{running} running, at least {} must", self.at_least);
        let finding = if enough { Finding::good("running", seen) } else { Finding::critical("running", seen) };
        let label = format!("label=com.docker.compose.project={project}");
        let list = format!("docker ps --all --filter {}", word(&label));
        let finding = finding.value(running as f64, Unit::Count).source(list.as_str());
        if enough { finding } else { finding.hint(format!("see which are missing: {list}")) }
    }

    fn judge(&self, replica: &Replica, before: Option<f64>, now: DateTime<Utc>) -> Finding {
        let name = &replica.name;
        let restarts = f64::from(replica.restarts);
        let finding = match (condition(replica, now), before) {
            (Condition::Ended, _) if self.may_end.contains(&replica.service) => {
                Finding::good(name, "ended with exit code 0, as it may")
            }
            (Condition::Ended, _) => {
                Finding::critical(name, "ended with exit code 0").hint(format!("start it: docker start {name}"))
            }
            (Condition::Bad(seen), _) => {
                let then = match replica.state {
                    State::Down => format!("; start it: docker start {name}"),
                    State::Paused => format!("; let it go on: docker unpause {name}"),
                    State::Running | State::Restarting => String::new(),
                };
                Finding::critical(name, seen).hint(format!("see why: docker logs --tail 50 {name}{then}"))
            }
            (Condition::Coming(seen), _) => Finding::warning(name, seen).hint("look again in a minute"),
            (Condition::Fine(state), Some(before)) if restarts > before => {
                let more = restarts - before;
                let seen = format!("{state}, but restarted {more} times since the last look");
                let finding = if more < MANY { Finding::warning(name, seen) } else { Finding::critical(name, seen) };
                finding.hint(format!("see why: docker logs --since 24h {name}"))
            }
            (Condition::Fine(state), None) if replica.restarts > 0 => {
                let seen = format!("{state}, but restarted {restarts} times since it was made");
                Finding::warning(name, seen).hint(format!("see why: docker logs --since 24h {name}"))
            }
            (Condition::Fine(state), _) => Finding::good(name, state),
        };
        // The next run compares with this number.
        finding.value(restarts, Unit::Count).source("docker inspect: State, RestartCount")
    }
}

enum Condition {
    Fine(String),
    Coming(String),
    Ended,
    Bad(String),
}

fn condition(replica: &Replica, now: DateTime<Utc>) -> Condition {
    match replica.state {
        State::Down if replica.exit_code == Some(0) && !replica.out_of_memory => return Condition::Ended,
        State::Down => {
            let code = replica.exit_code.map(|code| format!(" (exit code {code})")).unwrap_or_default();
            let memory = if replica.out_of_memory { ": killed for want of memory" } else { "" };
            return Condition::Bad(format!("is not running{code}{memory}"));
        }
        State::Paused => return Condition::Bad("is paused".into()),
        State::Restarting => {
            return Condition::Bad(format!("ends again and again, {} restarts so far", replica.restarts));
        }
        State::Running => {}
    }
    if replica.out_of_memory {
        return Condition::Bad("runs, but processes of it were killed for want of memory".into());
    }
    match &replica.health {
        Health::None => Condition::Fine("running, without a health check".into()),
        Health::Healthy => Condition::Fine("running and healthy".into()),
        Health::Unhealthy { said } => Condition::Bad(format!("is unhealthy: {said}").trim_end_matches(": ").to_owned()),
        Health::Starting { decides_within } => {
            let since = replica.started.map(|started| (now - started).max(TimeDelta::zero()));
            let since = since.and_then(|since| since.to_std().ok()).unwrap_or(Duration::MAX);
            let seen = format!("is still starting after {}", Elapsed(since));
            if since > *decides_within {
                Condition::Bad(format!("{seen}; it should have decided within {}", Elapsed(*decides_within)))
            } else {
                Condition::Coming(seen)
            }
        }
    }
}

/// How often each container had been restarted when this step last looked.
async fn restarts_before(context: &StepContext) -> Result<BTreeMap<String, f64>, LedgerError> {
    let (state_dir, job) = (context.stack.state_dir.clone(), context.job.clone());
    let (step, own) = (context.step.to_string(), context.run.to_string());
    let read = move || {
        let ledger = Ledger::open(&state_dir)?;
        for run in ledger.runs(Some(&job), RUNS)?.into_iter().filter(|run| run.id != own) {
            let findings = ledger.findings(&run.id)?.into_iter().filter(|row| row.step == step);
            let found: BTreeMap<_, _> =
                findings.filter_map(|row| Some((row.finding.subject, row.finding.value?.value))).collect();
            if !found.is_empty() {
                return Ok(found);
            }
        }
        Ok(BTreeMap::new())
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_else(|_| Ok(BTreeMap::new()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::finding::Band;

    pub(in super::super) fn replica(state: State, health: Health) -> Replica {
        Replica {
            id: "1".into(),
            name: "web".into(),
            service: "web".into(),
            number: 1,
            state,
            started: Some("2026-08-02T00:00:00Z".parse().unwrap()),
            exit_code: None,
            out_of_memory: false,
            restarts: 0,
            health,
            image: "web".into(),
            image_id: "sha256:1".into(),
            config_hash: None,
            volumes: Vec::new(),
            memory_limit: None,
            stop_timeout: None,
            command: Vec::new(),
        }
    }

    fn band(replica: &Replica, before: Option<f64>) -> (Band, String) {
        let step = Containers { at_least: 1, project: None, may_end: vec!["migrate".into()], timeout: None };
        let finding = step.judge(replica, before, "2026-08-02T00:01:00Z".parse().unwrap());
        (finding.band, finding.seen)
    }

    #[test]
    fn containers_are_judged_by_more_than_that_they_run() {
        let starting = |seconds| Health::Starting { decides_within: Duration::from_secs(seconds) };
        let fine = replica(State::Running, Health::Healthy);
        assert_eq!(band(&fine, None).0, Band::Good);
        assert_eq!(band(&replica(State::Running, Health::None), None).1, "running, without a health check");
        assert_eq!(band(&replica(State::Running, starting(90)), None).0, Band::Warning);
        let (late, seen) = band(&replica(State::Running, starting(30)), None);
        assert_eq!(
            (late, seen.as_str()),
            (Band::Critical, "is still starting after 1 min 00 s; it should have decided within 30.0 s")
        );
        for state in [State::Down, State::Paused, State::Restarting] {
            assert_eq!(band(&replica(state, Health::None), None).0, Band::Critical, "{state:?}");
        }
        assert_eq!(band(&replica(State::Running, Health::Unhealthy { said: "x".into() }), None).0, Band::Critical);
        let starved = Replica { out_of_memory: true, ..fine.clone() };
        assert_eq!(band(&starved, None).0, Band::Critical, "it runs again, but it will happen again");
        let again = Replica { restarts: 5, ..fine };
        assert_eq!(band(&again, Some(5.0)).0, Band::Good);
        assert_eq!(band(&again, Some(4.0)).0, Band::Warning);
        assert_eq!(band(&again, Some(2.0)).0, Band::Critical);
        assert_eq!(band(&again, None).0, Band::Warning, "nobody looked before");
        assert_eq!(band(&again, Some(9.0)).0, Band::Good, "it was made anew");
    }

    #[test]
    fn what_may_end_may_end_well() {
        let mut ended = replica(State::Down, Health::None);
        ended.exit_code = Some(0);
        assert_eq!(band(&ended, None).0, Band::Critical);
        ended.service = "migrate".into();
        assert_eq!(band(&ended, None).0, Band::Good);
        ended.exit_code = Some(1);
        assert_eq!(band(&ended, None).0, Band::Critical);
    }
}
