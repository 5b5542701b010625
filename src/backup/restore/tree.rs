//! Restores an archive, or some of its paths, into a directory that is new or empty.

use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::{
    RestoreError,
    expected::Expected,
    extraction::Extraction,
    planter::Planter,
    select::Selection,
    stage::{self, Stage},
    survey::{self, Survey},
};
use crate::{
    adapters::{files, host},
    model::{
        contents::{Codec, Frame, PathBytes},
        event::StepEvents,
        manifest::{Artifact, FileDigest},
    },
    stream::{
        StreamError,
        decode::{self, FrameReader, RangeReader},
    },
};

/// An archive of a set: its files, and what the manifest says about them.
#[derive(Debug, Clone)]
pub struct TreeFiles {
    /// The packed archive.
    pub packed: PathBuf,
    /// Its contents list.
    pub contents: PathBuf,
    /// How it is packed.
    pub codec: Codec,
    /// The length of its plain stream.
    pub plain_bytes: u64,
    /// Length and SHA-256 of the packed archive.
    pub digest: FileDigest,
    /// Length and SHA-256 of the contents list.
    pub contents_digest: FileDigest,
}

impl TreeFiles {
    /// The archive that a manifest names, in the set's directory.
    pub fn of(set: &Path, artifact: &Artifact) -> Self {
        Self {
            packed: set.join(&artifact.packed.file),
            contents: set.join(&artifact.contents.file),
            codec: artifact.codec,
            plain_bytes: artifact.plain_bytes,
            digest: artifact.packed.clone(),
            contents_digest: artifact.contents.clone(),
        }
    }
}

/// What is restored, and how.
#[derive(Debug, Clone)]
pub struct TreeOptions {
    /// Whether devices are made; that needs root.
    pub devices: bool,
    /// Whether owners are set, and with them setuid and setgid bits; that needs root.
    pub owners: bool,
    /// Paths in the archive, or glob patterns as `exclude` has them; a directory brings what is in it. Empty: everything.
    pub paths: Vec<PathBytes>,
    /// Whether it is a trial: compared with [`compare_tree`](super::compare::compare_tree) and thrown away. Such a copy need
    /// not be on the disk in the end, and its contents are hashed when they are read back, not also on their way.
    pub trial: bool,
}

impl Default for TreeOptions {
    /// Everything but devices; owners where the user may.
    fn default() -> Self {
        Self { devices: false, owners: host::is_root(), paths: Vec::new(), trial: false }
    }
}

/// What a restore would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Entries of the archive.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Devices among them.
    pub devices: u64,
    /// Bytes of the files, holes included.
    pub bytes: u64,
    /// Bytes that the files take on the disk, without what the file system adds.
    pub needed: u64,
    /// Bytes that are free where they would be written.
    pub free: u64,
    /// A directory there.
    pub on: PathBuf,
}

/// How much was planted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Restored {
    pub(super) entries: u64,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// What a restore did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planted {
    /// Entries that were planted.
    pub entries: u64,
    /// Regular files among them.
    pub files: u64,
    /// Their bytes, holes included.
    pub bytes: u64,
    /// What was not restored, each with its reason.
    pub skipped: Vec<String>,
    /// What restores to the same target have left that were killed.
    pub leftovers: Vec<PathBuf>,
}

/// Tells what [`tree`] would do. Refuses what it would refuse before it writes: hostile names, a target that is not
/// empty; a lack of space is for the caller to see.
///
/// # Errors
/// As [`tree`].
pub fn plan(
    archive: &TreeFiles,
    into: &Path,
    options: &TreeOptions,
    cancel: &CancellationToken,
) -> Result<Plan, RestoreError> {
    let (_, survey) = prepare(archive, options, cancel)?;
    let on = stage::filled(into)?;
    let free = files::free_space(&on)?;
    let Survey { entries, files, devices, bytes, needed, .. } = survey;
    Ok(Plan { entries, files, devices, bytes, needed, free, on })
}

pub(super) fn prepare(
    archive: &TreeFiles,
    options: &TreeOptions,
    cancel: &CancellationToken,
) -> Result<(Selection, Survey), RestoreError> {
    let mut selection = Selection::new(&options.paths)?;
    let listed = &archive.contents_digest;
    if decode::digest(&archive.contents)? != (listed.bytes, listed.sha256.clone()) {
        let problem = "its length or SHA-256 is not what its manifest says";
        return Err(StreamError::damaged(&archive.contents, problem).into());
    }
    let survey = survey::survey(archive, &mut selection, cancel)?;
    if survey.plain_bytes != archive.plain_bytes {
        let (found, expected) = (survey.plain_bytes, archive.plain_bytes);
        return Err(RestoreError::Size { path: archive.packed.clone(), found, expected });
    }
    Ok((selection, survey))
}

/// Restores an archive into a directory that is new or empty, comparing every entry and every content with the contents
/// list. Whole archives are also compared with the manifest's digest.
///
/// Nothing of the archive is seen at a new target before all of it is there; on an error nothing is left. Where some paths were
/// asked for, only the frames that hold them are read, and a hard link brings its content.
///
/// # Errors
/// [`RestoreError`]: the archive is hostile, damaged or not what its list says, the target is taken, the disk is full, or
/// `cancel` fired.
pub fn tree(
    archive: &TreeFiles,
    into: &Path,
    options: &TreeOptions,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Planted, RestoreError> {
    let (selection, survey) = prepare(archive, options, cancel)?;
    let (codec, frames) = decode::frames(&archive.contents)?;
    if codec != archive.codec {
        return Err(StreamError::damaged(&archive.contents, "names another codec than the manifest").into());
    }
    let filled = stage::filled(into)?;
    let free = files::free_space(&filled)?;
    if survey.needed > free {
        return Err(RestoreError::NoSpace { path: filled, needed: survey.needed, free });
    }
    let (mut stage, leftovers) = Stage::prepare(into)?;
    let run = Run { archive, options, selection, survey, cancel, events };
    match run.fill(&mut stage, frames) {
        Ok((Restored { entries, files, bytes }, skipped)) => Ok(Planted { entries, files, bytes, skipped, leftovers }),
        Err(error) => {
            let error = error.with_space(stage.dir().parent().unwrap_or(into), run.survey.needed);
            let path = stage.dir().to_owned();
            match stage.abandon() {
                Ok(()) => Err(error),
                Err(problem) => Err(RestoreError::Leftover { path, problem, source: Box::new(error) }),
            }
        }
    }
}

struct Run<'a> {
    archive: &'a TreeFiles,
    options: &'a TreeOptions,
    selection: Selection,
    survey: Survey,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
}

impl Run<'_> {
    fn fill(&self, stage: &mut Stage, frames: Vec<Frame>) -> Result<(Restored, Vec<String>), RestoreError> {
        let links = self.survey.links.clone();
        let mut planter = Planter::new(stage.ground()?, self.options.devices, self.options.owners, links);
        let restored = if self.selection.is_all() {
            self.whole(&mut planter, &frames)?
        } else {
            self.parts(&mut planter, frames)?
        };
        planter.settle()?;
        if !self.options.trial {
            planter.sync()?;
        }
        stage.publish(|handle| planter.set_root(handle))?;
        Ok((restored, planter.into_skipped()))
    }

    fn whole(&self, planter: &mut Planter, frames: &[Frame]) -> Result<Restored, RestoreError> {
        let expected = Expected::open(&self.archive.contents, |_| true)?;
        let mut extraction =
            Extraction::new(self.archive, (&self.selection, &self.survey), expected, planter, self.cancel);
        extraction.leave_contents_to_comparison(self.options.trial);
        let mut reader = FrameReader::open(&self.archive.packed, self.archive.codec)?;
        for frame in frames {
            self.progress(frame.plain_offset, self.survey.plain_bytes, extraction.doing())?;
            extraction.push(reader.read(frame)?)?;
        }
        let restored = extraction.finish(true)?;
        let digest = &self.archive.digest;
        if reader.finish()? != (digest.bytes, digest.sha256.clone()) {
            let problem = "its length or SHA-256 is not what its manifest says";
            return Err(StreamError::damaged(&self.archive.packed, problem).into());
        }
        Ok(restored)
    }

    fn parts(&self, planter: &mut Planter, frames: Vec<Frame>) -> Result<Restored, RestoreError> {
        let runs = survey::runs(&self.archive.contents, &self.selection, &self.survey)?;
        let expected = Expected::open(&self.archive.contents, |path| self.survey.wants(&self.selection, path))?;
        let mut extraction =
            Extraction::new(self.archive, (&self.selection, &self.survey), expected, planter, self.cancel);
        extraction.leave_contents_to_comparison(self.options.trial);
        let mut reader = RangeReader::open(&self.archive.packed, self.archive.codec, frames.into())?;
        let total = runs.iter().map(|run| run.end.saturating_sub(run.start)).sum();
        let mut done = 0;
        for run in runs {
            extraction.go_to(run.start)?;
            let mut at = run.start;
            while at < run.end {
                self.progress(done, total, extraction.doing())?;
                let bytes = reader.read(at, run.end)?;
                extraction.push(bytes)?;
                at += bytes.len() as u64;
                done += bytes.len() as u64;
            }
        }
        extraction.finish(false)
    }

    fn progress(&self, done: u64, total: u64, doing: String) -> Result<(), RestoreError> {
        if self.cancel.is_cancelled() {
            return Err(StreamError::Cancelled.into());
        }
        self.events.progress(done, Some(total), doing);
        Ok(())
    }
}
