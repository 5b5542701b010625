//! `resources`: processor and memory of each container, and of all together.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{at_best, containers, late, measured, summary, unasked};
use crate::{
    adapters::{
        docker::{Docker, DockerError, Replica, State, Usage},
        host,
    },
    model::{
        bands::Bands,
        failure::chain,
        finding::{Band, Finding, Unit},
        span::Span,
        stack::Stack,
        units::ByteSize,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// So near to its limit a container is about to be killed.
const NEAR_LIMIT: f64 = 90.0;

/// Processor and memory of the project's containers, as `docker stats` computes them. What the engine does not tell is
/// unknown, never zero.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Resources {
    /// Processor time of one container, in percent of one core.
    #[serde(default)]
    cpu: Option<Bands>,
    /// Memory of one container.
    #[serde(default)]
    memory: Option<Bands>,
    /// Processor time of all together, in percent of the host's cores.
    #[serde(default)]
    total_cpu: Option<Bands>,
    /// Memory of all together.
    #[serde(default)]
    total_memory: Option<Bands>,
    /// The compose project. Default: that of `[compose]`.
    #[serde(default)]
    project: Option<String>,
    /// How long the engine may take to answer. Default: `10s`.
    #[serde(default)]
    timeout: Option<Span>,
}

impl StepKind for Resources {
    const SUMMARY: &'static str = "Holds processor and memory of the project's containers against their bands";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        containers::no_project(&self.project, stack)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let project = containers::project(&self.project, stack).unwrap_or_default();
        vec![format!("ask the engine what the containers of the compose project {project} use")]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let within = self.timeout.map_or(ANSWER_WITHIN, |span| span.0);
        let project = containers::project(&self.project, &context.stack).unwrap_or_default();
        let ask = async {
            let docker = Docker::connect(&context.stack.docker.host).await?;
            let mut replicas = docker.replicas(project, None).await?;
            replicas.retain(|replica| replica.state == State::Running);
            let ids: Vec<String> = replicas.iter().map(|replica| replica.id.clone()).collect();
            let usage = docker.usage(&ids).await;
            Ok::<_, DockerError>(replicas.into_iter().zip(usage).collect::<Vec<_>>())
        };
        let subject = format!("containers of {project}");
        let findings = match tokio::time::timeout(within, ask).await {
            Ok(Ok(used)) if used.is_empty() => {
                vec![Finding::unknown(subject, "none runs, so that there is nothing to measure")]
            }
            Ok(Ok(used)) => self.findings(&used),
            Ok(Err(error)) => vec![unasked(subject, &error)],
            Err(_) => vec![late(subject, within)],
        };
        Ok(StepReport::found(summary("measurement", &findings), findings))
    }
}

type Used = (Replica, Result<Usage, DockerError>);

impl Resources {
    fn findings(&self, used: &[Used]) -> Vec<Finding> {
        let usage = |used: &Used| used.1.as_ref().ok().copied();
        let cpu: Option<f64> = used.iter().map(|used| usage(used)?.cpu).sum();
        let memory: Option<u64> = used.iter().map(|used| usage(used)?.memory).sum();
        let cores = host::cores() as f64;
        let mut findings = vec![
            total("all containers, cpu", cpu.map(|cpu| cpu / cores), Unit::Percent, self.total_cpu.as_ref()),
            total("all containers, memory", memory.map(|m| m as f64), Unit::Bytes, self.total_memory.as_ref()),
        ];
        for (replica, usage) in used {
            match usage {
                Ok(usage) => findings.extend(self.of_one(replica, *usage)),
                Err(error) => findings.push(Finding::unknown(&replica.name, chain(error))),
            }
        }
        findings
    }

    fn of_one(&self, replica: &Replica, usage: Usage) -> [Finding; 2] {
        let name = &replica.name;
        let absent = |what: &str| {
            let finding = Finding::unknown(format!("{name}, {what}"), "the engine has no numbers for it");
            finding.hint("does this host give the engine its cgroups? Compare: docker stats --no-stream")
        };
        let cpu = usage.cpu.map_or_else(
            || absent("cpu"),
            |cpu| {
                let finding = measured(format!("{name}, cpu"), cpu, Unit::Percent, self.cpu.as_ref());
                hint(finding, format!("see what it does: docker top {name}"))
            },
        );
        let memory = usage.memory.map_or_else(
            || absent("memory"),
            |memory| {
                let finding = measured(format!("{name}, memory"), memory as f64, Unit::Bytes, self.memory.as_ref());
                let finding = limited(finding, memory, replica.memory_limit);
                hint(finding, format!("look for a leak, and at last: docker restart {name}"))
            },
        );
        [cpu, memory].map(|finding| finding.source("GET /containers/…/stats, as docker stats computes it"))
    }
}

/// Says what the limit is, and finds fault where it is near.
fn limited(finding: Finding, memory: u64, limit: Option<u64>) -> Finding {
    let Some(limit) = limit else {
        return Finding { seen: format!("{}, no limit set", finding.seen), ..finding };
    };
    let percent = memory as f64 / limit as f64 * 100.0;
    let seen = format!("{}, {percent:.0} % of its limit {}", finding.seen, ByteSize(limit));
    let finding = Finding { seen, ..finding };
    if percent > NEAR_LIMIT { at_best(finding, Band::Warning) } else { finding }
}

fn hint(finding: Finding, hint: String) -> Finding {
    if finding.band.is_fine() { finding } else { finding.hint(hint) }
}

fn total(subject: &str, value: Option<f64>, unit: Unit, bands: Option<&Bands>) -> Finding {
    let finding = match value {
        Some(value) => measured(subject, value, unit, bands),
        None => Finding::unknown(subject, "not every container has numbers"),
    };
    hint(finding, "see which it is: docker stats --no-stream".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_limit_is_seen_and_a_missing_one_is_said() {
        let finding = |memory, limit| limited(measured("x", memory as f64, Unit::Bytes, None), memory, limit);
        assert_eq!(finding(95_000_000, Some(100_000_000)).band, Band::Warning);
        assert_eq!(finding(50_000_000, Some(100_000_000)).seen, "50.0 MB, 50 % of its limit 100.0 MB");
        assert_eq!(finding(50_000_000, None).seen, "50.0 MB, no limit set");
        assert_eq!(total("x", None, Unit::Bytes, None).band, Band::Unknown);
    }
}
