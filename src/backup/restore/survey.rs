//! What a restore will do, from the contents list alone; hostile lists are refused here, before anything is planted.

use std::{collections::HashMap, ops::Range, path::Path};

use tokio_util::sync::CancellationToken;

use super::{
    RestoreError,
    error::show,
    expected::Expected,
    names,
    select::{Nearest, Selection},
    tree::TreeFiles,
};
use crate::{
    model::contents::{ContentsKind, EntryKind, EntryLine, Line},
    stream::{StreamError, contents::ContentsReader, tar::BLOCK},
};

/// No frame is shorter: magic number, header and one block of zstd.
const MIN_FRAME_BYTES: u64 = 9;

/// What the list says about what was asked for.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) entries: u64,
    pub(super) files: u64,
    /// Bytes of the files, holes included.
    pub(super) bytes: u64,
    /// Bytes that they take on the disk, without what the file system adds.
    pub(super) needed: u64,
    pub(super) devices: u64,
    /// For each target of a hard link that was asked for: the name at which its content is planted. That is another
    /// one where the target itself was not asked for.
    pub(super) links: HashMap<Vec<u8>, Vec<u8>>,
    /// The length of the plain stream.
    pub(super) plain_bytes: u64,
}

impl Survey {
    /// Whether an entry has to be read: it was asked for, or has the content of a link that was.
    pub(super) fn wants(&self, selection: &Selection, path: &[u8]) -> bool {
        selection.matches(path) || self.links.contains_key(path)
    }
}

/// Opens a list of a tree.
pub(super) fn open(contents: &Path) -> Result<ContentsReader, RestoreError> {
    let list = ContentsReader::open(contents)?;
    if list.kind != ContentsKind::Tree {
        return Err(StreamError::damaged(contents, "is not the list of a tree").into());
    }
    Ok(list)
}

fn sound(contents: &Path, entry: &EntryLine) -> Result<(), RestoreError> {
    names::check(&entry.path.0)?;
    let name = || show(&entry.path.0);
    let refuse = |problem| Err(RestoreError::RefusedPath { entry: name(), problem });
    if entry.path.0 == b"." && entry.kind != EntryKind::Directory {
        return refuse("the root of a tree is a directory");
    }
    match (entry.kind, &entry.target) {
        (EntryKind::Hardlink, Some(target)) if target.0 == b"." || names::check(&target.0).is_err() => {
            let (entry, target) = (name(), show(&target.0));
            Err(RestoreError::HardLink { entry, target, problem: "it leads out of the archive" })
        }
        (EntryKind::Hardlink | EntryKind::Symlink, None) => refuse("it is a link without a target"),
        _ if (entry.offset.is_none()) != (entry.kind == EntryKind::Socket) => {
            let problem = format!("says of {} that the archive does not hold it, or of a socket that it does", name());
            Err(StreamError::damaged(contents, problem).into())
        }
        (EntryKind::File, _) if entry.sha256.is_none() => {
            Err(StreamError::damaged(contents, format!("has no digest of {}", name())).into())
        }
        _ => Ok(()),
    }
}

/// Walks the list once, and once more for what lies near a path that is not there.
pub(super) fn survey(
    archive: &TreeFiles,
    selection: &mut Selection,
    cancel: &CancellationToken,
) -> Result<Survey, RestoreError> {
    let mut survey = Survey::default();
    let contents = archive.contents.as_path();
    let mut walk = Walk { archive, last: None, frames: 0 };
    for line in open(contents)? {
        if cancel.is_cancelled() {
            return Err(StreamError::Cancelled.into());
        }
        match line? {
            Line::Entry(entry) => walk.entry(&entry, selection, &mut survey)?,
            Line::Frame(_) => walk.frame()?,
            Line::End { plain_bytes, .. } => {
                walk.stored_until(plain_bytes, &mut survey);
                survey.plain_bytes = plain_bytes;
            }
            _ => {}
        }
    }
    if let Some(missing) = selection.missing() {
        let mut nearest = Nearest::new(missing);
        for line in open(contents)? {
            if let Line::Entry(entry) = line? {
                nearest.look(&entry.path.0);
            }
        }
        return Err(nearest.error());
    }
    if !selection.is_all() {
        indirect(contents, &survey)?;
    }
    Ok(survey)
}

/// A link whose target is itself a link and was not asked for: its content would not come with it.
fn indirect(contents: &Path, survey: &Survey) -> Result<(), RestoreError> {
    let stands_in = |path: &[u8]| survey.links.get(path).filter(|at| *at != path);
    for entry in Expected::open(contents, |_| true)? {
        let entry = entry?;
        if entry.kind == EntryKind::Hardlink
            && let Some(link) = stands_in(&entry.path.0)
        {
            let problem = "its target is a link itself; ask for that too";
            return Err(RestoreError::HardLink { entry: show(link), target: show(&entry.path.0), problem });
        }
    }
    Ok(())
}

struct Walk<'a> {
    archive: &'a TreeFiles,
    frames: u64,
    /// Offset of the last stored entry, and its size where it was asked for.
    last: Option<(u64, u64)>,
}

impl Walk<'_> {
    fn entry(&mut self, entry: &EntryLine, selection: &mut Selection, survey: &mut Survey) -> Result<(), RestoreError> {
        sound(&self.archive.contents, entry)?;
        let path = &entry.path.0;
        let selected = selection.find(path);
        if let Some(offset) = entry.offset {
            self.place(path, offset)?;
            self.stored_until(offset, survey);
            self.last = Some((offset, if selected { entry.size } else { 0 }));
        }
        if !selected || entry.offset.is_none() {
            return Ok(());
        }
        survey.entries += 1;
        match (entry.kind, &entry.target) {
            (EntryKind::File, _) => {
                survey.files += 1;
                survey.bytes = survey.bytes.saturating_add(entry.size);
            }
            (EntryKind::CharDevice | EntryKind::BlockDevice, _) => survey.devices += 1,
            (EntryKind::Hardlink, Some(target)) => {
                let place = if selection.matches(&target.0) { &target.0 } else { path };
                survey.links.entry(target.0.clone()).or_insert_with(|| place.clone());
            }
            _ => {}
        }
        Ok(())
    }

    /// Entries follow each other, in blocks, and lie in the archive: so their number is bounded by its length.
    fn place(&self, path: &[u8], offset: u64) -> Result<(), RestoreError> {
        let problem = if self.last.is_some_and(|(last, _)| last >= offset) {
            "before what it follows"
        } else if !offset.is_multiple_of(BLOCK as u64) || offset >= self.archive.plain_bytes {
            "where no entry can be"
        } else {
            return Ok(());
        };
        Err(StreamError::damaged(&self.archive.contents, format!("has {} {problem}", show(path))).into())
    }

    /// Frames are kept in memory later: there are no more than the packed archive can hold.
    fn frame(&mut self) -> Result<(), RestoreError> {
        self.frames += 1;
        match self.frames <= self.archive.digest.bytes / MIN_FRAME_BYTES {
            true => Ok(()),
            false => {
                Err(StreamError::damaged(&self.archive.contents, "has more frames than the archive can hold").into())
            }
        }
    }

    /// A file takes at most what lies between its header and the next one: holes are not stored.
    fn stored_until(&mut self, offset: u64, survey: &mut Survey) {
        if let Some((last, size)) = self.last {
            survey.needed = survey.needed.saturating_add(size.min(offset.saturating_sub(last)));
        }
    }
}

/// Where in the plain stream everything stands that has to be read.
pub(super) fn runs(contents: &Path, selection: &Selection, survey: &Survey) -> Result<Vec<Range<u64>>, RestoreError> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    let mut begun = None;
    for entry in Expected::open(contents, |_| true)? {
        let entry = entry?;
        let Some(offset) = entry.offset else { continue };
        match (begun, survey.wants(selection, &entry.path.0)) {
            (None, true) => begun = Some(offset),
            (Some(start), false) => {
                runs.push(start..offset);
                begun = None;
            }
            _ => {}
        }
    }
    runs.extend(begun.map(|start| start..survey.plain_bytes));
    Ok(runs)
}
