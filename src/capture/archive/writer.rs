//! Entries into the artifact and its contents list.

use tokio_util::sync::CancellationToken;

use super::{ArchiveError, CapturedTree};
use crate::{
    model::{
        contents::{EntryKind, EntryLine, Line},
        event::StepEvents,
        manifest::Counts,
    },
    stream::{
        StreamError,
        artifact::{ArtifactWriter, SourceEnd},
        frames::{Mark, TARGET_FRAME_BYTES},
        tar::{self, Entry, TooLarge},
    },
};

/// A frame is cut inside a file at this size: a large file does not need the largest frames, and a few of them are
/// packed at once.
const INSIDE_FRAME_BYTES: u64 = 2 * TARGET_FRAME_BYTES;
/// Plain bytes between two progress events.
const PROGRESS_BYTES: u64 = 16 << 20;
/// More warnings than these are only counted.
const MAX_WARNINGS: usize = 100;

/// Writes entries; knows frames, the contents list and how to be stopped.
pub(super) struct TreeWriter<'a> {
    artifact: ArtifactWriter,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    header: Vec<u8>,
    entries: u64,
    files: u64,
    file_bytes: u64,
    warnings: Vec<String>,
    more_warnings: u64,
    /// Path of the current entry.
    doing: Vec<u8>,
    /// Plain bytes at the last progress event.
    told: u64,
}

/// An entry whose headers are written.
pub(super) struct Begun {
    offset: u64,
}

impl<'a> TreeWriter<'a> {
    pub(super) fn new(artifact: ArtifactWriter, cancel: &'a CancellationToken, events: &'a StepEvents) -> Self {
        Self {
            artifact,
            cancel,
            events,
            header: Vec::new(),
            entries: 0,
            files: 0,
            file_bytes: 0,
            warnings: Vec::new(),
            more_warnings: 0,
            doing: Vec::new(),
            told: 0,
        }
    }

    pub(super) fn cancel(&self) -> &'a CancellationToken {
        self.cancel
    }

    /// Fails once the capture is to end.
    pub(super) fn check_cancel(&self) -> Result<(), StreamError> {
        if self.cancel.is_cancelled() { Err(StreamError::Cancelled) } else { Ok(()) }
    }

    /// Something to look at.
    pub(super) fn warn(&mut self, text: String) {
        if self.warnings.len() < MAX_WARNINGS {
            self.events.note(text.clone());
            self.warnings.push(text);
        } else {
            self.more_warnings += 1;
        }
    }

    /// Remembers this place, before an entry.
    pub(super) fn mark(&mut self) -> Result<Mark, StreamError> {
        self.artifact.mark()
    }

    /// Forgets an entry that was begun since.
    pub(super) fn rewind(&mut self, mark: &Mark) -> Result<(), StreamError> {
        self.artifact.rewind(mark)?;
        self.told = self.told.min(self.artifact.plain_offset());
        Ok(())
    }

    fn tell_progress(&mut self) {
        let done = self.artifact.plain_offset();
        if done - self.told >= PROGRESS_BYTES {
            self.told = done;
            self.events.progress(done, None, String::from_utf8_lossy(&self.doing));
        }
    }

    /// Writes an entry's headers; content follows by [`data`](Self::data), then [`end`](Self::end).
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<Begun, ArchiveError> {
        self.artifact.cut_if(TARGET_FRAME_BYTES)?;
        let offset = self.artifact.plain_offset();
        self.doing.clear();
        self.doing.extend_from_slice(&entry.path);
        self.header.clear();
        tar::encode(entry, &mut self.header).map_err(|e: TooLarge| attributes(entry, &e))?;
        self.artifact.write(&self.header)?;
        Ok(Begun { offset })
    }

    /// Writes stored content.
    pub(super) fn data(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            self.check_cancel()?;
            let room = INSIDE_FRAME_BYTES.saturating_sub(self.artifact.frame_bytes());
            if room == 0 {
                self.artifact.cut_inside()?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.artifact.write(now)?;
            self.tell_progress();
            bytes = later;
        }
        Ok(())
    }

    /// Writes the padding and the contents line of an entry.
    pub(super) fn end(
        &mut self,
        begun: &Begun,
        entry: &Entry,
        sha256: Option<String>,
        remark: Option<String>,
    ) -> Result<(), StreamError> {
        self.artifact.write(tar::padding(entry.data_bytes()))?;
        if entry.kind == EntryKind::File {
            self.files += 1;
            self.file_bytes += entry.size;
        }
        let line = EntryLine { remark, ..entry.line(sha256, Some(begun.offset)) };
        self.record(line)
    }

    /// An entry without content.
    pub(super) fn bare(&mut self, entry: &Entry, remark: Option<String>) -> Result<(), ArchiveError> {
        let begun = self.begin(entry)?;
        Ok(self.end(&begun, entry, None, remark)?)
    }

    /// Lists what is not stored.
    pub(super) fn list_only(&mut self, entry: &Entry) -> Result<(), StreamError> {
        self.record(entry.line(None, None))
    }

    fn record(&mut self, line: EntryLine) -> Result<(), StreamError> {
        self.entries += 1;
        self.artifact.record(&Line::Entry(line))
    }

    /// Ends the archive and the artifact.
    pub(super) fn finish(mut self) -> Result<CapturedTree, ArchiveError> {
        self.check_cancel()?;
        self.artifact.write(&tar::END)?;
        if self.more_warnings > 0 {
            self.warnings.push(format!("{} more warnings", self.more_warnings));
        }
        let counts = Counts { entries: Some(self.entries), files: Some(self.files), ..Counts::default() };
        let packed = self.artifact.finish(SourceEnd::ReadToEnd)?;
        Ok(CapturedTree { packed, counts, file_bytes: self.file_bytes, warnings: self.warnings })
    }
}

/// The error for attributes that a tar cannot hold.
pub(super) fn attributes(entry: &Entry, problem: &dyn std::error::Error) -> ArchiveError {
    let path = String::from_utf8_lossy(&entry.path).into_owned().into();
    ArchiveError::Attributes { path, problem: problem.to_string() }
}
