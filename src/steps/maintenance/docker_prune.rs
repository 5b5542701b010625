//! `docker_prune`: removes what Docker has left over.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::ledger::Ledger,
    model::{span::SpanOrZero, stack::Stack},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
    upkeep::docker::{self, PruneRequest},
};

/// Removes stopped containers, images without a name, idle networks and idle build cache that nobody needed for a while, and
/// says beforehand what that is. Never volumes, never an image with a name or one that an update may have to go back to.
/// What has the label `maint.keep` stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerPrune {
    /// How long nobody must have needed it. Default: `"168h"`.
    #[serde(default = "week")]
    older_than: SpanOrZero,
    /// Whether containers go that have been stopped for so long. Default: true.
    #[serde(default = "yes")]
    containers: bool,
    /// Whether images without a name go that have been here for so long. Default: true.
    #[serde(default = "yes")]
    images: bool,
    /// Whether networks go that no container would need. Default: true.
    #[serde(default = "yes")]
    networks: bool,
    /// Whether build cache goes that nobody used for so long. Default: true.
    #[serde(default = "yes")]
    build_cache: bool,
    /// Whether it is only said what would go. Default: false.
    #[serde(default)]
    preview: bool,
}

fn week() -> SpanOrZero {
    SpanOrZero::days(7)
}

fn yes() -> bool {
    true
}

impl StepKind for DockerPrune {
    const SUMMARY: &'static str = "Removes what Docker has left over, never volumes, and says beforehand what that is";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let any = self.containers || self.images || self.networks || self.build_cache;
        let message = "it removes nothing: everything is left out".to_owned();
        if any { Vec::new() } else { vec![Problem { key: "containers", message }] }
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let kinds = [
            (self.containers, "stopped containers"),
            (self.images, "images without a name"),
            (self.networks, "idle networks"),
            (self.build_cache, "build cache"),
        ];
        let kinds: Vec<&str> = kinds.iter().filter(|(wanted, _)| *wanted).map(|(_, what)| *what).collect();
        let verb = if self.preview { "list" } else { "remove" };
        vec![format!("{verb} {} that nobody needed for {}; never volumes", kinds.join(", "), self.older_than)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        // What services have served from lately: an update may have to go back to it.
        let keep = Ledger::open(&context.stack.state_dir)?.rollback_images()?;
        let request = PruneRequest {
            host: &context.stack.docker.host,
            older_than: self.older_than.0,
            containers: self.containers,
            images: self.images,
            networks: self.networks,
            build_cache: self.build_cache,
            keep_images: keep.into_iter().map(|image| image.id).collect(),
            preview: self.preview,
        };
        Ok(super::report(docker::prune(&request, &context.cancel, &context.events).await?))
    }
}
