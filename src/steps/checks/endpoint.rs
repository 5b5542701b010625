//! `endpoint`: does it answer, with what it should, and soon enough?

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{chosen, measured, summary, unasked, unknown_names};
use crate::{
    adapters::{
        http::{Answer, HttpError},
        target::{Target, TargetError},
    },
    model::{
        failure::chain,
        finding::{Finding, Unit},
        stack::Stack,
        targets,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// What must answer over HTTP: status, content and response time of each `[endpoint.NAME]`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Which. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
}

impl StepKind for Endpoint {
    const SUMMARY: &'static str = "Asks health endpoints, and holds their response time against its band";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_names("names", "endpoint", &self.names, &stack.targets.endpoint)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let chosen = chosen(&self.names, &stack.targets.endpoint).into_iter();
        chosen.map(|(_, endpoint)| format!("GET {}", endpoint.web.url)).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let chosen = chosen(&self.names, &context.stack.targets.endpoint);
        let findings = join_all(chosen.into_iter().map(|(name, endpoint)| ask(name, endpoint))).await;
        Ok(StepReport::found(summary("endpoint", &findings), findings))
    }
}

async fn ask(name: &str, endpoint: &targets::Endpoint) -> Finding {
    let url = &endpoint.web.url;
    let asked = match Target::open(&endpoint.web) {
        Ok(target) => target.ask("").await,
        Err(error) => Err(error),
    };
    let finding = match asked {
        Ok(answer) => judge(name, endpoint, &answer),
        // Nobody there, or nobody to be trusted: that is what the check is for.
        Err(TargetError::Http(
            error @ (HttpError::Late { .. } | HttpError::NoAnswer(_) | HttpError::Certificate(_)),
        )) => Finding::critical(name, chain(&error)).hint(format!("try it: curl -v {url}")),
        Err(error) => unasked(name, &error),
    };
    finding.source(format!("GET {url}"))
}

fn judge(name: &str, endpoint: &targets::Endpoint, answer: &Answer) -> Finding {
    let millis = answer.took.as_secs_f64() * 1000.0;
    let status = answer.status;
    let wrong = if !endpoint.statuses.contains(&status) {
        let expected: Vec<String> = endpoint.statuses.iter().map(u16::to_string).collect();
        Some(format!("it answered {status} instead of {}: {}", expected.join(" or "), answer.first_line()))
    } else {
        let lacks = |part: &&String| !String::from_utf8_lossy(&answer.body).contains(part.as_str());
        let lacking = endpoint.body.as_ref().filter(lacks);
        lacking.map(|part| format!("it answered {status} without `{part}`: {}", answer.first_line()))
    };
    match wrong {
        Some(seen) => Finding::critical(name, seen.trim_end_matches(": "))
            .value(millis, Unit::Milliseconds)
            .hint("look at the logs of the service behind it"),
        None => {
            let finding = measured(name, millis, Unit::Milliseconds, endpoint.bands.as_ref());
            if finding.band.is_fine() { finding } else { finding.hint("see what keeps it: docker stats --no-stream") }
        }
    }
}
