//! Which parts of an archive the engine is given, and the sending of them.

use std::{collections::HashSet, io, ops::Range};

use tokio::sync::mpsc;
use tokio_util::{bytes::Bytes, sync::CancellationToken};

use super::{FillError, RestoreError};
use crate::{
    adapters::docker::ROOT_ENTRY,
    backup::restore::{error::show, expected::Expected, names::split, tree::TreeFiles},
    model::{
        contents::{EntryKind, EntryLine},
        event::StepEvents,
    },
    stream::{
        StreamError,
        decode::{self, RangeReader},
        tar::{self, Entry},
    },
};

/// More remarks than these are only counted.
const MOST_TOLD: usize = 1000;
/// What is sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// What the engine is given.
#[derive(Debug, Default)]
pub(super) struct Cargo {
    /// Where it stands in the plain stream.
    pub(super) runs: Vec<Range<u64>>,
    /// A tar of the volume's own directory.
    pub(super) root: Option<Bytes>,
    /// What is left out, in words.
    pub(super) skipped: Vec<String>,
    /// Paths that are left out.
    pub(super) left_out: HashSet<Vec<u8>>,
    /// Bytes of the files.
    pub(super) bytes: u64,
    untold: u64,
}

/// Sees what is to be sent.
pub(super) fn load(archive: &TreeFiles, devices: bool) -> Result<Cargo, RestoreError> {
    let mut cargo = Cargo::default();
    let mut begun = None;
    for entry in Expected::open(&archive.contents, |_| true)? {
        let entry = entry?;
        let Some(offset) = entry.offset else { continue };
        let wanted = cargo.take(&entry, devices)?;
        match (begun, wanted) {
            (None, true) => begun = Some(offset),
            (Some(start), false) => {
                cargo.runs.push(start..offset);
                begun = None;
            }
            _ => {}
        }
    }
    cargo.runs.extend(begun.map(|start| start..archive.plain_bytes));
    if cargo.untold > 0 {
        cargo.skipped.push(format!("{} more", cargo.untold));
    }
    Ok(cargo)
}

impl Cargo {
    fn take(&mut self, entry: &EntryLine, devices: bool) -> Result<bool, RestoreError> {
        let path = entry.path.0.as_slice();
        let target = entry.target.as_ref().map_or(&[][..], |target| target.0.as_slice());
        if path == b"." {
            self.root = Some(root(entry)?);
            return Ok(false);
        }
        let why = match entry.kind {
            EntryKind::CharDevice | EntryKind::BlockDevice if !devices => "a device; they are made only on request",
            EntryKind::Symlink if leads_out(path, target) => {
                "a link that leads out of the volume, which the engine refuses"
            }
            EntryKind::Hardlink if self.left_out.contains(target) => "a hard link to what was skipped",
            _ => {
                self.bytes = self.bytes.saturating_add(entry.size);
                return Ok(true);
            }
        };
        self.left_out.insert(path.to_vec());
        if self.skipped.len() < MOST_TOLD {
            self.skipped.push(format!("{}: {why}", show(path)));
        } else {
            self.untold += 1;
        }
        Ok(false)
    }
}

/// A tar of the volume's own directory.
fn root(line: &EntryLine) -> Result<Bytes, RestoreError> {
    let entry = Entry {
        path: ROOT_ENTRY.into(),
        kind: EntryKind::Directory,
        mode: line.mode,
        uid: line.uid,
        gid: line.gid,
        mtime_ns: line.mtime_ns.parse().unwrap_or(0),
        size: 0,
        target: None,
        device: None,
        xattrs: Vec::new(),
        sparse: None,
    };
    let mut tar = Vec::new();
    tar::encode(&entry, &mut tar).map_err(|e| RestoreError::Plant {
        operation: "describing",
        entry: ".".into(),
        source: io::Error::other(e),
    })?;
    tar.extend_from_slice(&tar::END);
    Ok(tar.into())
}

/// As the engine looks at a link (pkg/archive, `createTarFile`): an absolute target counts below the link's directory.
fn leads_out(path: &[u8], target: &[u8]) -> bool {
    let parts = |path: &[u8]| path.split(|b| *b == b'/').filter(|part| !matches!(*part, b"" | b".")).count();
    let mut depth = parts(split(path).0);
    for part in target.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

/// Reads the runs and hands them over, until nobody takes them any more. Blocking.
pub(super) fn send(
    archive: &TreeFiles,
    runs: &[Range<u64>],
    sender: &mpsc::Sender<io::Result<Bytes>>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(), FillError> {
    let sent = pieces(archive, runs, sender, cancel, events);
    if sent.is_err() {
        // So the engine does not take what came for all of it.
        let _ = sender.blocking_send(Err(io::Error::other("the archive cannot be read to its end")));
    }
    Ok(sent.map_err(RestoreError::from)?)
}

fn pieces(
    archive: &TreeFiles,
    runs: &[Range<u64>],
    sender: &mpsc::Sender<io::Result<Bytes>>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<(), StreamError> {
    let (codec, frames) = decode::frames(&archive.contents)?;
    let mut reader = RangeReader::open(&archive.packed, codec, frames.into())?;
    let total = runs.iter().map(|run| run.end - run.start).sum();
    let mut done = 0;
    for run in runs {
        let mut at = run.start;
        while at < run.end {
            if cancel.is_cancelled() {
                return Err(StreamError::Cancelled);
            }
            let bytes = reader.read(at, run.end)?;
            at += bytes.len() as u64;
            done += bytes.len() as u64;
            for piece in bytes.chunks(PIECE_BYTES) {
                if sender.blocking_send(Ok(Bytes::copy_from_slice(piece))).is_err() {
                    return Ok(());
                }
            }
            events.progress(done, Some(total), "unpacking");
        }
    }
    // Where something was left out at its end, the archive's own end mark was too.
    let _ = sender.blocking_send(Ok(Bytes::from_static(&tar::END)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_out_where_the_engine_says_so() {
        for (path, target) in
            [("a", ".."), ("a/b", "../.."), ("a/b", "../../x"), ("a", "../etc"), ("a/b/c", "x/../../../..")]
        {
            assert!(leads_out(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
        for (path, target) in [("a", "b"), ("a/b", ".."), ("a/b", "../c"), ("a", "/etc/passwd"), ("a/b/c", "../../d")] {
            assert!(!leads_out(path.as_bytes(), target.as_bytes()), "{path} -> {target}");
        }
    }
}
