//! `image_pull`: images from their registries, those of the compose project or those that are named.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::rolling_restart::{no_compose, of_project};
use crate::{
    adapters::docker::{Docker, Image, Runner},
    model::{
        detail::Detail,
        finding::{Band, Finding},
        outcome::Outcome,
        stack::Stack,
        units::count,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
    upkeep::{
        base_images::{self, BaseImage},
        pull::{self, Got, PullError, Pulled},
    },
};

/// Images, pulled one after the other, with what changed: those of the compose project's services, or those that `images`
/// names, with who still runs the old ones. No container is touched.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePull {
    /// The services whose images are pulled. Default: all that have one and are not built here.
    #[serde(default)]
    services: Vec<String>,
    /// Instead of services: images by their names, e.g. `["postgres:15-alpine"]`. It is told which containers still run what
    /// a name stood for before.
    #[serde(default)]
    images: Vec<String>,
}

impl StepKind for ImagePull {
    const SUMMARY: &'static str = "Pulls images, and says what changed";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        let problem = |message: &str| Problem { key: "images", message: message.to_owned() };
        if self.images.is_empty() {
            return no_compose(stack, "services").into_iter().collect();
        }
        let mut problems = Vec::new();
        if !self.services.is_empty() {
            problems.push(problem("name services or images, and give the others a step of their own"));
        }
        if self.images.iter().any(|name| name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace))
        {
            problems.push(problem("expected names as `docker pull` takes them, e.g. \"postgres:15-alpine\""));
        }
        problems
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let of = match (self.images.as_slice(), self.services.as_slice()) {
            ([], []) => "the images of all services".to_owned(),
            ([], services) => format!("the images of {}", services.join(", ")),
            (images, _) => images.join(", "),
        };
        vec![format!("pull {of}, and tell what changed; no container is touched")]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        if self.images.is_empty() { self.of_services(context).await } else { self.by_name(context).await }
    }
}

impl ImagePull {
    async fn of_services(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let (docker, compose) = of_project(context).await?;
        let pulled = pull::pull(&by(context, &docker), &compose, &self.services).await?;
        let (program, version) = compose.tool();
        let findings = pulled.iter().map(|pulled| of_service(pulled, &program)).collect();
        let got: Vec<_> = pulled.iter().map(|pulled| &pulled.got).collect();
        let report = done(format!("{}; by {}", summary(&got), compose.shown()), findings, &got, &docker).await?;
        let tools = report.tools.into_iter().chain([(program, version)]).collect();
        Ok(StepReport { tools, ..report })
    }

    async fn by_name(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let docker = Docker::connect(&context.stack.docker.host).await.map_err(PullError::from)?;
        let pulled = base_images::pull(&by(context, &docker), &self.images).await?;
        let got: Vec<_> = pulled.iter().map(|pulled| &pulled.got).collect();
        let behind: usize = pulled.iter().map(|pulled| pulled.behind.len()).sum();
        let mut summary = summary(&got);
        if behind > 0 {
            summary += &format!("; {} on an old one", count(u64::try_from(behind).unwrap_or(u64::MAX), "container"));
        }
        done(summary, pulled.iter().map(named).collect(), &got, &docker).await
    }
}

fn by<'a>(context: &'a StepContext, docker: &'a Docker) -> pull::By<'a> {
    pull::By { state_dir: &context.stack.state_dir, docker, events: &context.events, cancel: &context.cancel }
}

async fn done(summary: String, findings: Vec<Finding>, got: &[&Got], docker: &Docker) -> Result<StepReport, StepError> {
    let report = StepReport::found(summary, findings);
    let any_new = got.iter().any(|got| matches!(got, Got::Changed { .. }));
    let outcome = if report.outcome == Outcome::Ok && any_new { Outcome::Changed } else { report.outcome };
    let tools = BTreeMap::from([("docker".to_owned(), docker.version().await.map_err(PullError::from)?)]);
    Ok(StepReport { outcome, tools, ..report })
}

fn summary(got: &[&Got]) -> String {
    let of = |is: fn(&Got) -> bool| u64::try_from(got.iter().filter(|got| is(got)).count()).unwrap_or(u64::MAX);
    let mut parts = vec![
        format!("{} new", count(of(|got| matches!(got, Got::Changed { .. })), "image")),
        format!("{} as before", of(|got| matches!(got, Got::Unchanged(_)))),
    ];
    let (refused, not_asked) = (of(|got| matches!(got, Got::Refused(_))), of(|got| matches!(got, Got::NotAsked(_))));
    parts.extend((refused > 0).then(|| format!("{refused} not to be had")));
    parts.extend((not_asked > 0).then(|| format!("{not_asked} could not be asked for")));
    parts.join(", ")
}

/// What became of an image; `of` says whose it is.
fn told(image: &str, of: &str, got: &Got) -> Finding {
    let subject = format!("image {image}");
    match got {
        Got::Unchanged(image) => Finding::good(subject, format!("as before, {}{of}", short(image))),
        Got::Changed { from, to } => {
            let from = from.as_ref().map_or_else(|| "none".to_owned(), short);
            Finding::good(subject, format!("new: {from} → {}{of}", short(to)))
        }
        Got::NotAsked(why) => {
            let seen = format!("whether there is a newer one is not known{of}: {why}");
            Finding::unknown(subject, seen).hint("see whether this host reaches the registry, then run it again")
        }
        Got::Refused(why) => {
            Finding::critical(subject, format!("not to be had{of}: {why}")).hint(format!("docker pull {image}"))
        }
    }
}

fn of_service(pulled: &Pulled, program: &str) -> Finding {
    let of = format!(" ({})", pulled.services.join(", "));
    told(&pulled.image, &of, &pulled.got).source(format!("{program} pull {}", pulled.services[0]))
}

fn named(pulled: &BaseImage) -> Finding {
    let mut finding = told(&pulled.image, "", &pulled.got).source(format!("docker pull {}", pulled.image));
    if !pulled.behind.is_empty() {
        let name = |runner: &Runner| match &runner.service {
            Some((_, service)) => format!("{} (service {service})", runner.container),
            None => runner.container.clone(),
        };
        let behind: Vec<_> = pulled.behind.iter().map(name).collect();
        finding.seen += &format!("; still on an old one: {}", behind.join(", "));
        finding.band = finding.band.max(Band::Warning);
        finding.hint.get_or_insert_with(|| anew(pulled));
    }
    finding.detail(Detail::Image {
        before: pulled.before.as_ref().map(digest),
        now: pulled.now.as_ref().map(digest),
        behind: pulled.behind.iter().map(|runner| runner.container.clone()).collect(),
    })
}

/// How containers come to the image that their name stands for now.
fn anew(pulled: &BaseImage) -> String {
    let mut services: Vec<_> = pulled.behind.iter().filter_map(|runner| runner.service.as_ref()).collect();
    services.dedup();
    match services.as_slice() {
        [] => "make these containers anew, when they may be down for a moment".to_owned(),
        of_compose => {
            let names: Vec<_> = of_compose.iter().map(|(_, service)| service.as_str()).collect();
            format!("when they may be down for a moment: docker compose up --detach --no-deps {}", names.join(" "))
        }
    }
}

/// The registry's digest, or the image's id where it has none.
fn digest(image: &Image) -> String {
    let digest = image.digests.first().and_then(|digest| digest.split_once('@')).map(|(_, digest)| digest);
    digest.unwrap_or(&image.id).to_owned()
}

/// The first digits are enough to tell them apart.
fn short(image: &Image) -> String {
    digest(image).chars().take("sha256:".len() + 12).collect()
}
