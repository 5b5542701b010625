//! `image_pull`: the images of the compose project, from their registries.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rolling_restart::{no_compose, of_project};
use crate::{
    adapters::docker::Image,
    model::{finding::Finding, outcome::Outcome, stack::Stack, units::count},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
    upkeep::pull::{self, Got, PullError, Pulled},
};

/// The images of the compose project, pulled one after the other, with what changed. No container is touched.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePull {
    /// The services whose images are pulled. Default: all that have one and are not built here.
    #[serde(default)]
    services: Vec<String>,
}

impl StepKind for ImagePull {
    const SUMMARY: &'static str = "Pulls the images of the compose project";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        no_compose(stack, "services").into_iter().collect()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let of = if self.services.is_empty() { "all services".to_owned() } else { self.services.join(", ") };
        vec![format!("pull the images of {of}, and tell what changed; no container is touched")]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let (docker, compose) = of_project(context).await?;
        let by = pull::By {
            state_dir: &context.stack.state_dir,
            docker: &docker,
            compose: &compose,
            events: &context.events,
            cancel: &context.cancel,
        };
        let pulled = pull::pull(&by, &self.services).await?;
        let (program, version) = compose.tool();
        let findings = pulled.iter().map(|pulled| finding(pulled, &program)).collect();
        let report = StepReport::found(format!("{}; by {}", summary(&pulled), compose.shown()), findings);
        let any_new = pulled.iter().any(|pulled| matches!(pulled.got, Got::Changed { .. }));
        let outcome = if report.outcome == Outcome::Ok && any_new { Outcome::Changed } else { report.outcome };
        let tools = BTreeMap::from([
            (program, version),
            ("docker".to_owned(), docker.version().await.map_err(PullError::from)?),
        ]);
        Ok(StepReport { outcome, tools, ..report })
    }
}

fn summary(pulled: &[Pulled]) -> String {
    let of = |is: fn(&Got) -> bool| {
        let n = pulled.iter().filter(|pulled| is(&pulled.got)).count();
        u64::try_from(n).unwrap_or(u64::MAX)
    };
    let mut parts = vec![
        format!("{} new", count(of(|got| matches!(got, Got::Changed { .. })), "image")),
        format!("{} as before", of(|got| matches!(got, Got::Unchanged(_)))),
    ];
    let (refused, not_asked) = (of(|got| matches!(got, Got::Refused(_))), of(|got| matches!(got, Got::NotAsked(_))));
    parts.extend((refused > 0).then(|| format!("{refused} not to be had")));
    parts.extend((not_asked > 0).then(|| format!("{not_asked} could not be asked for")));
    parts.join(", ")
}

fn finding(pulled: &Pulled, program: &str) -> Finding {
    let subject = format!("image {}", pulled.image);
    let services = pulled.services.join(", ");
    let finding = match &pulled.got {
        Got::Unchanged(image) => Finding::good(subject, format!("as before, {} ({services})", short(image))),
        Got::Changed { from, to } => {
            let from = from.as_ref().map_or_else(|| "none".to_owned(), short);
            Finding::good(subject, format!("new: {from} → {} ({services})", short(to)))
        }
        Got::NotAsked(why) => {
            let seen = format!("whether there is a newer one is not known ({services}): {why}");
            Finding::unknown(subject, seen).hint("see whether this host reaches the registry, then run it again")
        }
        Got::Refused(why) => Finding::critical(subject, format!("not to be had ({services}): {why}"))
            .hint(format!("docker pull {}", pulled.image)),
    };
    finding.source(format!("{program} pull {}", pulled.services[0]))
}

/// The registry's digest, or the image's id where it has none; the first digits are enough to tell them apart.
fn short(image: &Image) -> String {
    let digest = image.digests.first().and_then(|digest| digest.split_once('@')).map(|(_, digest)| digest);
    digest.unwrap_or(&image.id).chars().take("sha256:".len() + 12).collect()
}
