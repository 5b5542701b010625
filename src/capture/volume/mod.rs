//! Captures a Docker volume: from its mount point where maint may read it, else through the engine; with containers
//! that are quiet meanwhile, and back in every case.

mod error;
mod live;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use error::VolumeError;

use super::{
    archive::{self, ArchiveError, CapturedTree, Patterns, TreeRequest, TreeRoot},
    quiesce::{self, Ticket, Wish},
};
use crate::{
    adapters::{
        docker::{Access, Docker, DockerError, Helper, HelperLabel, ROOT_ENTRY, Volume},
        files,
    },
    model::{
        contents::ContentsKind,
        event::StepEvents,
        ids::{RunId, StepId},
    },
    stream::{artifact::ArtifactWriter, frames::Packing},
};

/// What the engine's own tar cannot hold (measured against Docker 20.10).
const LOST_BY_API: &[&str] = &[
    "nanoseconds of modification times",
    "user extended attributes and POSIX ACLs",
    "holes of sparse files: they are stored as zeros",
    "sockets",
    "access, change and birth times",
    "inode flags of chattr(1)",
    "the exact state of a tree that changes while it is read: a file that is written to at that moment may be torn, and \
     nothing in the engine's tar tells",
];
/// What no tar of a tree can hold.
const LOST_BY_TAR: &[&str] = &[
    "sockets: listed, not stored",
    "access, change and birth times",
    "inode flags of chattr(1)",
    "the exact state of a tree that changes while it is read: files are captured one after the other",
];

/// How a volume is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// From the mount point where maint may read it, else through the engine.
    #[default]
    Auto,
    /// Through the engine in any case.
    Api,
}

/// What to capture, and for whom.
#[derive(Debug)]
pub struct VolumeRequest<'a> {
    /// The engine's socket.
    pub docker_host: &'a str,
    /// The volume's name.
    pub volume: &'a str,
    /// How it is read.
    pub way: Way,
    /// What is left out; needs the mount point.
    pub exclude: Patterns,
    /// What may be torn; needs the mount point.
    pub may_change: Patterns,
    /// Whether there are any such patterns.
    pub has_patterns: bool,
    /// Containers that are quiet meanwhile.
    pub wish: Wish,
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: &'a StepId,
    /// Journals and locks.
    pub state_dir: &'a Path,
    /// Where the artifact goes.
    pub staging: &'a Path,
    /// Its name.
    pub artifact: &'a str,
    /// How it is packed.
    pub packing: Packing,
    /// maint's own program, for the guard.
    pub program: &'a Path,
}

/// A captured volume.
#[derive(Debug)]
pub struct CapturedVolume {
    /// The artifact.
    pub tree: CapturedTree,
    /// The mount point, where it was read directly.
    pub mountpoint: Option<String>,
    /// Why it was read through the engine, where it was.
    pub why_engine: Option<String>,
    /// Containers that were quiet meanwhile.
    pub quiesced: Vec<String>,
    /// How long they were.
    pub quiet_for: Duration,
    /// What this way of capturing cannot keep.
    pub not_kept: Vec<String>,
    /// The engine's version.
    pub engine: String,
}

/// Captures a volume.
///
/// # Errors
/// When the engine, the volume or a container cannot be used, a live database lies in it, it cannot be read or stored,
/// or containers could not be brought back: that last one before all others.
pub async fn capture(
    request: &VolumeRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<CapturedVolume, VolumeError> {
    let docker = Docker::connect(request.docker_host).await?;
    let engine = docker.version().await?;
    let volume = docker.volume(request.volume).await?;
    let ticket = Ticket::take(request.state_dir, request.run, request.step)?;
    let capture =
        quiesce::Capture { ticket: &ticket, run: request.run, step: request.step, program: request.program, cancel };
    let quiesced = quiesce::begin(&docker, &request.wish, &capture).await?;
    let names = quiesced.names();
    let read = read(&docker, request, &volume, &ticket, &quiesced, cancel, events).await;
    let back = quiesced.end().await;
    match (read, back) {
        (Ok((tree, why_engine)), Ok(quiet_for)) => {
            let lost = if why_engine.is_none() { LOST_BY_TAR } else { LOST_BY_API };
            let mountpoint = why_engine.is_none().then(|| volume.mountpoint.clone());
            let not_kept = lost.iter().map(|text| (*text).to_owned()).collect();
            Ok(CapturedVolume { tree, mountpoint, why_engine, quiesced: names, quiet_for, not_kept, engine })
        }
        (Err(error), Ok(_)) => Err(error),
        (Ok(_), Err(worse)) => Err(worse.into()),
        (Err(error), Err(worse)) => Err(worse.after(&error).into()),
    }
}

/// What was read and, where it was read through the engine, why.
type Read = (CapturedTree, Option<String>);

/// Why a volume has to be reached through the engine; `None`: its mount point will do.
pub fn why_engine(volume: &Volume) -> Option<String> {
    if volume.driver != "local" {
        Some(format!("its driver is {}", volume.driver))
    } else if !volume.is_plain_directory() {
        // Their values may hold a password (cifs).
        Some("it has mount options, and is mounted only while a container uses it".into())
    } else {
        files::list(Path::new(&volume.mountpoint)).err().map(|_| "maint may not read its mount point".into())
    }
}

async fn read(
    docker: &Docker,
    request: &VolumeRequest<'_>,
    volume: &Volume,
    ticket: &Ticket,
    quiesced: &quiesce::Quiesced,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Read, VolumeError> {
    let writers = live::writers(docker, request.volume, &quiesced.stopped()).await?;
    let mountpoint = PathBuf::from(&volume.mountpoint);
    let asked = (request.way == Way::Api).then(|| "the step asks for it".to_owned());
    let Some(why) = asked.or_else(|| why_engine(volume)) else {
        live::refuse_at(&mountpoint, request.volume, &writers)?;
        let roots = vec![TreeRoot { path: mountpoint, name: ".".into() }];
        let (exclude, may_change) = (request.exclude.clone(), request.may_change.clone());
        let tree = TreeRequest { roots, exclude, may_change, one_file_system: true };
        let captured = blocking(request, cancel, events, move |artifact, cancel, events| {
            archive::tree(&tree, artifact, cancel, events)
        });
        return Ok((captured.await?, None));
    };
    if request.has_patterns {
        return Err(VolumeError::PatternsNeedMountPoint { volume: request.volume.to_owned(), why });
    }
    sweep_helpers(docker, request.state_dir, true).await?;
    let label = HelperLabel { owner: ticket.id().to_owned(), state_dir: request.state_dir.display().to_string() };
    let helper = docker.helper(request.volume, Access::Read, &label).await?;
    let read = through(&helper, request, &writers, cancel, events).await;
    // What the capture says comes first; a helper that stays is swept by its label.
    let removed = helper.remove().await;
    let tree = read?;
    removed?;
    Ok((tree, Some(why)))
}

/// Helpers that dead captures left on the engine, by capture; with `act` they are removed.
///
/// # Errors
/// When the engine does not answer, or one cannot be removed.
pub async fn sweep_helpers(docker: &Docker, state_dir: &Path, act: bool) -> Result<Vec<String>, DockerError> {
    let journals = quiesce::directory(state_dir);
    let mut dead = Vec::new();
    for label in docker.helpers(&state_dir.display().to_string()).await? {
        // A lock that is held, or cannot be asked, leaves the helper alone.
        let Ok(_dead) = Ticket::take_over(&journals, &label.owner) else { continue };
        if act {
            docker.remove_helpers(&label).await?;
        }
        dead.push(label.owner);
    }
    Ok(dead)
}

/// Reads the helper's archive. Its task's result, not the end of the pipe, says whether the stream was whole.
async fn through(
    helper: &Helper,
    request: &VolumeRequest<'_>,
    writers: &[String],
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<CapturedTree, VolumeError> {
    live::refuse_in(helper, request.volume, writers).await?;
    let (sending, stream) = helper.archive()?;
    let origin = format!("the volume {}", request.volume);
    let captured = blocking(request, cancel, events, move |artifact, cancel, events| {
        archive::from_tar_stream(std::fs::File::from(stream), &origin, Some(ROOT_ENTRY), artifact, cancel, events)
    });
    let captured = captured.await;
    let sent = ended(sending).await;
    match (captured, sent) {
        // A stream that broke off is the cause of what its reader then says.
        (Err(VolumeError::Archive(ArchiveError::Source { .. } | ArchiveError::Foreign { .. })), Err(sent)) => Err(sent),
        (Err(error), _) => Err(error),
        (Ok(_), Err(sent)) => Err(sent),
        (Ok(tree), Ok(())) => Ok(tree),
    }
}

async fn ended(sending: JoinHandle<Result<(), DockerError>>) -> Result<(), VolumeError> {
    match sending.await {
        Ok(sent) => Ok(sent?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Runs a capture in a thread that ends with this future.
async fn blocking(
    request: &VolumeRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
    capture: impl FnOnce(ArtifactWriter, &CancellationToken, &StepEvents) -> Result<CapturedTree, ArchiveError>
    + Send
    + 'static,
) -> Result<CapturedTree, VolumeError> {
    let (staging, name, packing) = (request.staging.to_owned(), request.artifact.to_owned(), request.packing);
    let (cancel, events) = (cancel.child_token(), events.clone());
    let _ends_with_this = cancel.clone().drop_guard();
    let thread = tokio::task::spawn_blocking(move || {
        let artifact = ArtifactWriter::create(&staging, &name, ContentsKind::Tree, packing)?;
        capture(artifact, &cancel, &events)
    });
    match thread.await {
        Ok(captured) => Ok(captured?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
