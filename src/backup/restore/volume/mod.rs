//! Fills a volume whose mount point cannot be reached, through the engine: its archive request unpacks into a container
//! that is never started, and what the volume then holds is read back and compared with the contents list.

mod error;
mod readback;
mod ship;

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use futures_util::stream;
use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{bytes::Bytes, sync::CancellationToken};

pub use error::FillError;
use ship::Cargo;

use super::{
    RestoreError,
    compare::TreeComparison,
    tree::{self, TreeFiles},
};
use crate::{
    adapters::{
        clock,
        docker::{Access, Docker, Helper, HelperLabel, ROOT_ENTRY},
    },
    backup::verify,
    capture::{quiesce::Ticket, volume::sweep_helpers},
    model::{
        event::StepEvents,
        ids::StepId,
        manifest::{Artifact, Level},
    },
    stream::tar::{Event, Parser, TarError},
};

/// What the engine's way cannot keep (measured against Docker 20.10).
pub const LOST_BY_ENGINE: &[&str] = &[
    "POSIX ACLs",
    "modification times before 1970: they become 1970",
    "holes of sparse files: they are written as zeros",
    "symbolic links that lead out of the volume by `..`: the engine refuses them",
];
/// Pieces of the archive that are read ahead.
const AHEAD: usize = 8;

/// What to fill a volume with.
#[derive(Debug, Clone, Copy)]
pub struct FillRequest<'a> {
    /// The engine.
    pub docker: &'a Docker,
    /// The volume, which is there.
    pub volume: &'a str,
    /// It was made for this, and goes when this fails.
    pub new: bool,
    /// The set's directory.
    pub set: &'a Path,
    /// The archive.
    pub artifact: &'a Artifact,
    /// Whether device nodes are made.
    pub devices: bool,
    /// Where locks tell whether whoever made a helper lives.
    pub state_dir: &'a Path,
}

/// A filled volume.
#[derive(Debug)]
pub struct Filled {
    /// What was read back and compared.
    pub compared: TreeComparison,
    /// Bytes of the files.
    pub bytes: u64,
    /// What was not restored, each with its reason.
    pub skipped: Vec<String>,
}

impl FillRequest<'_> {
    fn archive(&self) -> TreeFiles {
        TreeFiles::of(self.set, self.artifact)
    }
}

/// Fills the volume, which must be empty, and compares it.
///
/// # Errors
/// See [`FillError`]; a volume that was there before may hold a part then, and that is said.
pub async fn fill(
    request: &FillRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Filled, FillError> {
    let cargo = cargo(request, cancel, events).await?;
    with_helper(request, async |helper| {
        empty(helper, request.volume).await?;
        let filled = carry_out(request, helper, cargo, cancel, events).await;
        filled.map_err(|error| match request.new {
            true => error,
            false => FillError::Left { volume: request.volume.to_owned(), error: Box::new(error) },
        })
    })
    .await
}

/// Whether the volume is empty, without filling it.
///
/// # Errors
/// [`FillError::NotEmpty`] when it is not; or the engine does not tell.
pub async fn check_empty(request: &FillRequest<'_>) -> Result<(), FillError> {
    with_helper(request, async |helper| empty(helper, request.volume).await).await
}

async fn with_helper<T>(
    request: &FillRequest<'_>,
    work: impl AsyncFnOnce(&Helper) -> Result<T, FillError>,
) -> Result<T, FillError> {
    let step: StepId = "restore".parse().map_err(|_| FillError::Thread { volume: request.volume.to_owned() })?;
    sweep_helpers(request.docker, request.state_dir, true).await?;
    let ticket = Ticket::take(request.state_dir, clock::run_id(), &step)?;
    let label = HelperLabel { owner: ticket.id().to_owned(), state_dir: request.state_dir.display().to_string() };
    let helper = request.docker.helper(request.volume, Access::Fill, &label).await?;
    let done = work(&helper).await;
    // What the restore says comes first; a helper that stays is swept by its label.
    let removed = helper.remove().await;
    let done = done?;
    removed?;
    Ok(done)
}

/// Verifies the archive whole, for the engine unpacks what it is given; and sees what is to be sent.
async fn cargo(request: &FillRequest<'_>, cancel: &CancellationToken, events: &StepEvents) -> Result<Cargo, FillError> {
    let (set, artifact, archive) = (request.set.to_owned(), request.artifact.clone(), request.archive());
    let (cancel, events, devices) = (cancel.clone(), events.clone(), request.devices);
    blocking(request.volume, move || {
        tree::prepare(&archive, &tree::TreeOptions::default(), &cancel)?;
        verify::one(&set, &artifact, Level::Structure, &cancel, &events)?;
        Ok(ship::load(&archive, devices)?)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    volume: &str,
    work: impl FnOnce() -> Result<T, FillError> + Send + 'static,
) -> Result<T, FillError> {
    ended(volume, tokio::task::spawn_blocking(work)).await
}

async fn ended<T>(volume: &str, task: JoinHandle<Result<T, FillError>>) -> Result<T, FillError> {
    task.await.unwrap_or_else(|_| Err(FillError::Thread { volume: volume.to_owned() }))
}

async fn carry_out(
    request: &FillRequest<'_>,
    helper: &Helper,
    cargo: Cargo,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Filled, FillError> {
    let Cargo { runs, skipped, left_out, root, bytes, .. } = cargo;
    let (sender, mut pieces) = mpsc::channel::<std::io::Result<Bytes>>(AHEAD);
    let (archive, inner, told) = (request.archive(), cancel.clone(), events.clone());
    let reading = tokio::task::spawn_blocking(move || ship::send(&archive, &runs, &sender, &inner, &told));
    let sent = helper.unpack(stream::poll_fn(move |context| pieces.poll_recv(context))).await;
    // What could not be read is the cause of what the engine then says.
    ended(request.volume, reading).await?;
    sent?;
    if let Some(root) = root {
        helper.set_root(root).await?;
    }
    let (sending, pipe) = helper.archive()?;
    let (contents, cancel) = (request.archive().contents, cancel.clone());
    let compared =
        blocking(request.volume, move || readback::compare(std::fs::File::from(pipe), &contents, &left_out, &cancel))
            .await;
    let sent = sending.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    let compared = match (compared, sent) {
        // A stream that broke off is the cause of what its reader then says.
        (Err(FillError::Tar { .. } | FillError::Read { .. }), Err(sent)) => return Err(sent.into()),
        (Err(error), _) => return Err(error),
        (Ok(_), Err(sent)) => return Err(sent.into()),
        (Ok(compared), Ok(())) => compared,
    };
    match compared.differences.is_empty() {
        true => Ok(Filled { compared, bytes, skipped }),
        false => Err(FillError::Differs { volume: request.volume.to_owned(), differences: compared.differences }),
    }
}

/// Looks at the first entries of the volume's archive: the volume itself is one.
async fn empty(helper: &Helper, volume: &str) -> Result<(), FillError> {
    let (sending, pipe) = helper.archive()?;
    let name = volume.to_owned();
    let first = blocking(volume, move || second_entry(std::fs::File::from(pipe), &name)).await;
    if matches!(first, Ok(None)) {
        // The whole of it was read, so that its end counts.
        sending.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        return Ok(());
    }
    sending.abort();
    match first? {
        Some(found) => Err(FillError::NotEmpty { volume: volume.to_owned(), found }),
        None => Ok(()),
    }
}

fn second_entry(mut stream: impl Read, volume: &str) -> Result<Option<String>, FillError> {
    let (mut parser, mut buffer) = (Parser::default(), vec![0; 1 << 14]);
    let mut found = None;
    loop {
        let read = |source| FillError::Read { volume: volume.to_owned(), source };
        let length = stream.read(&mut buffer).map_err(read)?;
        if length == 0 {
            return Ok(None);
        }
        let pushed: Result<(), TarError> = parser.push(&buffer[..length], &mut |event| {
            if let Event::Entry(entry, _) = event
                && entry.path != ROOT_ENTRY.as_bytes()
            {
                found.get_or_insert(entry.path);
            }
            Ok(())
        });
        pushed.map_err(|source| FillError::Tar { volume: volume.to_owned(), source })?;
        if let Some(path) = found {
            return Ok(Some(super::error::show(&path)));
        }
    }
}

/// What would be sent, for a plan: entries, files, bytes, and what is left out.
///
/// # Errors
/// As [`tree::plan`], but for the target.
pub fn plan(
    set: &Path,
    artifact: &Artifact,
    devices: bool,
    cancel: &CancellationToken,
) -> Result<(u64, u64, u64, Vec<String>), RestoreError> {
    let archive = TreeFiles::of(set, artifact);
    let (_, survey) = tree::prepare(&archive, &tree::TreeOptions::default(), cancel)?;
    let cargo = ship::load(&archive, devices)?;
    Ok((survey.entries, survey.files, survey.bytes, cargo.skipped))
}

/// Where the locks of helpers are on a host without a configuration.
pub fn default_state_dir() -> PathBuf {
    PathBuf::from("/var/lib/maint")
}
