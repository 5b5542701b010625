//! `resources`: processor and memory of each container, and of all together.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{at_best, containers, late, listed, measured, summary, unasked};
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
        units::{ByteSize, count},
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
    /// Memory of all together, or of `total_memory_of`.
    #[serde(default)]
    total_memory: Option<Bands>,
    /// Services whose memory `total_memory` is about. Default: all.
    #[serde(default)]
    total_memory_of: Option<Vec<String>>,
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
        let cores = host::cores() as f64;
        let cpu = total("all containers, cpu", cpu.map(|cpu| cpu / cores), Unit::Percent, self.total_cpu.as_ref());
        let mut findings = vec![cpu, self.memory_together(used)];
        for (replica, usage) in used {
            match usage {
                Ok(usage) => findings.extend(self.of_one(replica, *usage)),
                Err(error) => findings.push(Finding::unknown(&replica.name, chain(error))),
            }
        }
        findings
    }

    /// A sum that lacks a part is none.
    fn memory_together(&self, used: &[Used]) -> Finding {
        let services = self.total_memory_of.as_deref();
        let subject = services.map_or("all containers, memory".to_owned(), |services| {
            format!("{} together, memory", count(services.len() as u64, "service"))
        });
        let missing = services.into_iter().flatten().find(|name| !used.iter().any(|used| used.0.service == **name));
        if let Some(name) = missing {
            let finding = Finding::unknown(subject, format!("no container of the service {name} runs"));
            return finding.hint("start it, or correct `total_memory_of` of the step");
        }
        let part = |used: &&Used| services.is_none_or(|services| services.contains(&used.0.service));
        let memory: Option<u64> = used.iter().filter(part).map(|used| used.1.as_ref().ok()?.memory).sum();
        let finding = total(&subject, memory.map(|memory| memory as f64), Unit::Bytes, self.total_memory.as_ref());
        match services {
            Some(services) => finding.source(format!("the memory of {}", listed(services))),
            None => finding,
        }
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
    use crate::{adapters::docker::Health, steps::checks::containers::tests::replica};

    /// A container of a service that uses so much.
    fn used(service: &str, cpu: Option<f64>, memory: Option<u64>) -> Used {
        let replica =
            Replica { name: service.into(), service: service.into(), ..replica(State::Running, Health::None) };
        (replica, Ok(Usage { cpu, memory, limit: None }))
    }

    fn step(total_memory_of: Option<&[&str]>) -> Resources {
        Resources {
            cpu: Some(Bands::below(50.0, 85.0)),
            memory: Some(Bands::below(300e6, 500e6)),
            total_cpu: Some(Bands::below(50.0, 85.0)),
            total_memory: Some(Bands::below(300e6, 500e6)),
            total_memory_of: total_memory_of.map(|names| names.iter().map(|&name| name.into()).collect()),
            project: None,
            timeout: None,
        }
    }

    fn band(findings: &[Finding], subject: &str) -> Band {
        let found = findings.iter().find(|finding| finding.subject == subject);
        found.unwrap_or_else(|| panic!("nothing of {subject}: {findings:#?}")).band
    }

    #[test]
    fn each_and_all_are_held_against_their_bands() {
        let every_core = host::cores() as f64 * 100.0;
        let findings = step(None)
            .findings(&[used("a", Some(every_core), Some(310_000_000)), used("b", Some(10.0), Some(510_000_000))]);
        for (subject, expected) in [
            ("a, cpu", Band::Critical),
            ("b, cpu", Band::Good),
            ("all containers, cpu", Band::Critical),
            ("a, memory", Band::Warning),
            ("b, memory", Band::Critical),
            ("all containers, memory", Band::Critical),
        ] {
            assert_eq!(band(&findings, subject), expected, "{subject}");
        }
        let findings = step(None).findings(&[used("a", Some(1.0), Some(1)), used("b", None, None)]);
        assert_eq!(band(&findings, "all containers, memory"), Band::Unknown, "a part is missing");
        assert_eq!(band(&findings, "all containers, cpu"), Band::Unknown);
        assert_eq!(band(&findings, "a, memory"), Band::Good);
    }

    #[test]
    fn the_applications_own_memory_is_added_up_without_the_databases() {
        let all = [
            used("hub", Some(1.0), Some(150_000_000)),
            used("engines", Some(1.0), Some(140_000_000)),
            used("postgres", Some(1.0), Some(2_000_000_000)),
        ];
        let findings = step(Some(&["hub", "engines"])).findings(&all);
        let together = findings.iter().find(|finding| finding.subject == "2 services together, memory").unwrap();
        assert_eq!((together.band, together.seen.as_str()), (Band::Good, "290.0 MB"));
        assert_eq!(band(&findings, "postgres, memory"), Band::Critical);
        let findings = step(Some(&["hub", "gone"])).findings(&all);
        assert_eq!(band(&findings, "2 services together, memory"), Band::Unknown, "who is gone saves nothing");
    }

    #[test]
    fn a_near_limit_is_seen_and_a_missing_one_is_said() {
        let finding = |memory, limit| limited(measured("x", memory as f64, Unit::Bytes, None), memory, limit);
        assert_eq!(finding(95_000_000, Some(100_000_000)).band, Band::Warning);
        assert_eq!(finding(50_000_000, Some(100_000_000)).seen, "50.0 MB, 50 % of its limit 100.0 MB");
        assert_eq!(finding(50_000_000, None).seen, "50.0 MB, no limit set");
        assert_eq!(total("x", None, Unit::Bytes, None).band, Band::Unknown);
    }
}
