//! `volume_archive`: a Docker volume into one tar.

use std::{collections::BTreeMap, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;

use super::packing::{Compression, StreamSource};
use crate::{
    adapters::host,
    capture::{
        archive::Patterns,
        quiesce::Wish,
        volume::{self, CapturedVolume, VolumeRequest, Way},
    },
    model::{
        contents::ContentsKind,
        coverage::Captures,
        manifest::{Artifact, Source},
        stack::Stack,
        units::{ByteSize, Elapsed, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Docker's own default.
const STOP_TIMEOUT_SECONDS: u64 = 10;

/// A Docker volume into one tar whose root is the volume's root, with containers stopped or paused meanwhile.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeArchive {
    /// The volume's name.
    volume: String,
    /// Containers to stop during the capture, by name or by label (`key=value`). Those that ran are started again in every
    /// case.
    #[serde(default)]
    stop: Vec<String>,
    /// Containers to pause during the capture, by name or by label (`key=value`).
    #[serde(default)]
    pause: Vec<String>,
    /// Seconds that a stopped program may take to end before the engine kills it. Default: 10.
    #[serde(default)]
    stop_timeout: Option<u64>,
    /// `"auto"` (default): from the mount point where maint may read it, else through the engine. `"api"`: through the
    /// engine.
    #[serde(default)]
    read: Way,
    /// Glob patterns of what is left out (see `files_archive`); needs the mount point.
    #[serde(default)]
    exclude: Vec<String>,
    /// Glob patterns of files that may be torn (see `files_archive`); needs the mount point.
    #[serde(default)]
    may_change: Vec<String>,
    /// `"zstd"` (default), `"gzip"`, or `{ codec = "zstd", level = 6 }`.
    #[serde(default)]
    compression: Compression,
}

impl VolumeArchive {
    fn artifact(&self, context: &StepContext, captured: CapturedVolume) -> Artifact {
        let CapturedVolume { tree, mountpoint, why_engine, quiesced, not_kept, engine, .. } = captured;
        let method = match (&mountpoint, why_engine) {
            (Some(path), _) => format!("read from its mount point {path}, file by file in sorted order"),
            (None, why) => format!(
                "read through Docker {engine}, by a container of an empty image, never started; the mount point was \
                 not used: {}",
                why.unwrap_or_default()
            ),
        };
        Artifact {
            step: context.step.clone(),
            kind: ContentsKind::Tree,
            codec: tree.packed.packing.codec,
            codec_level: tree.packed.packing.level,
            plain_bytes: tree.packed.plain_bytes,
            packed: tree.packed.packed,
            contents: tree.packed.contents,
            companions: Vec::new(),
            source: Source::Volume { name: self.volume.clone(), mountpoint, quiesced },
            counts: tree.counts,
            method,
            not_kept,
            warnings: tree.warnings,
        }
    }
}

impl StepKind for VolumeArchive {
    const SUMMARY: &'static str = "Captures a Docker volume into one tar";
    const CAPTURES: bool = true;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let mut problems = self.compression.problems();
        let valid = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if self.volume.is_empty() || !self.volume.chars().all(valid) {
            let message = format!("`{}` is not the name of a volume; see: docker volume ls", self.volume);
            problems.push(Problem { key: "volume", message });
        }
        if let Some(both) = self.stop.iter().find(|name| self.pause.contains(name)) {
            let message = format!("`{both}` is asked to be stopped and to be paused");
            problems.push(Problem { key: "pause", message });
        }
        for (key, patterns) in [("exclude", &self.exclude), ("may_change", &self.may_change)] {
            problems.extend(Patterns::new(patterns).err().map(|e| Problem { key, message: e.to_string() }));
            if self.read == Way::Api && !patterns.is_empty() {
                problems.push(Problem { key, message: "patterns need the mount point, not read = \"api\"".into() });
            }
        }
        problems
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let mut lines = Vec::new();
        for (verb, names) in [("stop", &self.stop), ("pause", &self.pause)] {
            if !names.is_empty() {
                lines.push(format!("{verb} what runs of {}, and bring it back afterwards", names.join(", ")));
            }
        }
        let way = match self.read {
            Way::Auto => "from its mount point where that can be read, else through the engine",
            Way::Api => "through the engine",
        };
        lines.push(format!("read the volume {} {way}", self.volume));
        lines
    }

    fn captured(&self, _stack: &Stack) -> Vec<Captures> {
        vec![Captures::Volume { name: self.volume.clone() }]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let packing = self.compression.packing(StreamSource::Files);
        let program = host::program()?;
        let request = VolumeRequest {
            docker_host: &context.stack.docker.host,
            volume: &self.volume,
            way: self.read,
            exclude: patterns(&self.exclude)?,
            may_change: patterns(&self.may_change)?,
            has_patterns: !(self.exclude.is_empty() && self.may_change.is_empty()),
            wish: Wish {
                stop: self.stop.clone(),
                pause: self.pause.clone(),
                stop_timeout: Duration::from_secs(self.stop_timeout.unwrap_or(STOP_TIMEOUT_SECONDS)),
            },
            run: context.run,
            step: &context.step,
            state_dir: &context.stack.state_dir,
            staging: &context.staging,
            artifact: &context.artifact_name(None, "tar", packing.codec),
            packing,
            program: &program,
        };
        let captured = volume::capture(&request, &context.cancel, &context.events).await?;
        let mut summary = format!(
            "{} of {}, {} packed to {}",
            count(captured.tree.counts.files.unwrap_or(0), "file"),
            self.volume,
            ByteSize(captured.tree.file_bytes),
            ByteSize(captured.tree.packed.packed.bytes),
        );
        if !captured.quiesced.is_empty() {
            summary += &format!("; {} quiet for {}", captured.quiesced.join(", "), Elapsed(captured.quiet_for));
        }
        let tools = BTreeMap::from([("docker".to_owned(), captured.engine.clone())]);
        Ok(StepReport::captured(summary, vec![self.artifact(context, captured)], tools))
    }
}

fn patterns(patterns: &[String]) -> Result<Patterns, StepError> {
    Patterns::new(patterns)
        .map_err(|e| crate::capture::archive::ArchiveError::Request { problem: e.to_string() }.into())
}
