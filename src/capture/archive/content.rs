//! A regular file into the archive, whatever happens to it meanwhile.

use std::{path::Path, time::Duration};

use super::{
    ArchiveError,
    entry::{entry, xattrs},
    patterns::Patterns,
    writer::TreeWriter,
};
use crate::{
    adapters::{
        clock,
        tree::{Facts, TreeFile},
    },
    model::contents::EntryKind,
    stream::{
        StreamError,
        hash::Sha,
        tar::{Entry, MAX_SEGMENTS, Segment, hash_zeros},
    },
};

/// Files up to this size are read whole before anything of them is written; larger ones are written as they are read
/// and taken back when they changed.
const BUFFER_BYTES: usize = 4 << 20;
/// How often a file is read before it counts as one that always changes.
const ATTEMPTS: u32 = 4;
/// Between two attempts, growing.
const PAUSE: Duration = Duration::from_millis(50);
/// Two changes within one tick of the kernel's clock leave the same time in the file (up to 10 ms, at 100 Hz).
const CLOCK_TICK_NS: i128 = 12_000_000;

/// Reads files.
pub(super) struct FileReader {
    buffer: Vec<u8>,
}

/// How a file looked after it was read.
enum Verdict {
    Unchanged,
    Grew,
    Torn(&'static str),
}

struct Copied {
    sha: Sha,
    short: bool,
}

impl FileReader {
    pub(super) fn new() -> Self {
        Self { buffer: vec![0; BUFFER_BYTES] }
    }

    /// Stores a file. `path`: its name in the archive; `shown`: where it really is, for messages.
    pub(super) fn store(
        &mut self,
        writer: &mut TreeWriter<'_>,
        file: &TreeFile,
        path: &[u8],
        shown: &Path,
        may_change: &Patterns,
    ) -> Result<(), ArchiveError> {
        for attempt in 1..=ATTEMPTS {
            writer.check_cancel()?;
            let before = settled(file, shown)?;
            let mut entry = entry(path, EntryKind::File, &before);
            let raw = file.xattrs().map_err(|e| ArchiveError::read("reading the attributes of", shown, e))?;
            entry.xattrs = xattrs(path, raw)?;
            entry.sparse = segments(file, &before, shown)?;
            let last = attempt == ATTEMPTS;
            let accept = |verdict: &Verdict| match verdict {
                Verdict::Unchanged | Verdict::Grew => true,
                Verdict::Torn(_) => last && may_change.matches(path),
            };
            let source = Source { file, shown, before };
            let stored = if entry.data_bytes() <= BUFFER_BYTES as u64 {
                self.buffered(writer, &source, &entry, accept)?
            } else {
                self.streamed(writer, &source, &entry, accept)?
            };
            if stored {
                return Ok(());
            }
            if !last {
                std::thread::sleep(PAUSE * attempt);
            }
        }
        Err(ArchiveError::Changed { path: shown.to_owned(), attempts: ATTEMPTS })
    }

    fn buffered(
        &mut self,
        writer: &mut TreeWriter<'_>,
        source: &Source<'_>,
        entry: &Entry,
        accept: impl Fn(&Verdict) -> bool,
    ) -> Result<bool, ArchiveError> {
        let mut copied = Copied { sha: Sha::default(), short: false };
        let mut filled = 0;
        let mut at = 0;
        for segment in source.segments(entry) {
            source.hole(&mut copied.sha, segment.offset - at, writer)?;
            let end = filled + usize::try_from(segment.bytes).unwrap_or(0);
            let piece = &mut self.buffer[filled..end];
            copied.short |= source.read(piece, segment.offset)?;
            copied.sha.update(piece);
            filled = end;
            at = segment.offset + segment.bytes;
        }
        source.hole(&mut copied.sha, entry.size - at, writer)?;
        if entry.size == 0 && source.file.read_at(&mut [0], 0).is_ok_and(|length| length > 0) {
            copied.short = true;
        }
        let verdict = source.verdict(&copied, entry, writer)?;
        if !accept(&verdict) {
            return Ok(false);
        }
        let begun = writer.begin(entry)?;
        writer.data(&self.buffer[..filled])?;
        let remark = source.remark(writer, &verdict, entry);
        writer.end(&begun, entry, Some(copied.sha.finish()), remark)?;
        Ok(true)
    }

    fn streamed(
        &mut self,
        writer: &mut TreeWriter<'_>,
        source: &Source<'_>,
        entry: &Entry,
        accept: impl Fn(&Verdict) -> bool,
    ) -> Result<bool, ArchiveError> {
        source.file.expect_sequential_reads();
        let mark = writer.mark()?;
        let begun = writer.begin(entry)?;
        let mut copied = Copied { sha: Sha::default(), short: false };
        let mut at = 0;
        for segment in source.segments(entry) {
            source.hole(&mut copied.sha, segment.offset - at, writer)?;
            at = segment.offset;
            let end = segment.offset + segment.bytes;
            while at < end {
                let length = usize::try_from(end - at).unwrap_or(usize::MAX).min(STREAM_BYTES);
                let piece = &mut self.buffer[..length];
                copied.short |= source.read(piece, at)?;
                copied.sha.update(piece);
                writer.data(piece)?;
                at += length as u64;
            }
        }
        source.hole(&mut copied.sha, entry.size - at, writer)?;
        let verdict = source.verdict(&copied, entry, writer)?;
        if !accept(&verdict) {
            writer.rewind(&mark)?;
            return Ok(false);
        }
        let remark = source.remark(writer, &verdict, entry);
        writer.end(&begun, entry, Some(copied.sha.finish()), remark)?;
        Ok(true)
    }
}

/// Bytes of a large file that are read at once: hashed and handed on while they are in the processor's cache.
const STREAM_BYTES: usize = 1 << 18;

struct Source<'a> {
    file: &'a TreeFile,
    shown: &'a Path,
    before: Facts,
}

impl Source<'_> {
    fn segments(&self, entry: &Entry) -> Vec<Segment> {
        entry.sparse.clone().unwrap_or_else(|| vec![Segment { offset: 0, bytes: entry.size }])
    }

    /// Fills `piece`; what the file no longer has becomes zeros, and `true` is returned.
    fn read(&self, piece: &mut [u8], offset: u64) -> Result<bool, ArchiveError> {
        let length = self.file.read_at(piece, offset).map_err(|e| ArchiveError::read("reading", self.shown, e))?;
        piece[length..].fill(0);
        Ok(length < piece.len())
    }

    fn hole(&self, sha: &mut Sha, bytes: u64, writer: &TreeWriter<'_>) -> Result<(), StreamError> {
        if hash_zeros(sha, bytes, writer.cancel()) { Ok(()) } else { Err(StreamError::Cancelled) }
    }

    fn verdict(&self, copied: &Copied, entry: &Entry, writer: &TreeWriter<'_>) -> Result<Verdict, ArchiveError> {
        let after = self.file.facts().map_err(|e| ArchiveError::read("looking at", self.shown, e))?;
        let same = (after.size, after.mtime_ns, after.ctime_ns)
            == (self.before.size, self.before.mtime_ns, self.before.ctime_ns);
        if same && copied.short {
            return Err(ArchiveError::Unsized { path: self.shown.to_owned() });
        }
        if same {
            return Ok(Verdict::Unchanged);
        }
        if after.size < self.before.size || copied.short && entry.size > 0 {
            return Ok(Verdict::Torn("it shrank while it was read; its end was filled with zeros"));
        }
        // Appended to, or rewritten and longer: only a second look at what was stored can tell.
        if after.size > self.before.size && self.second_look(entry.size, writer)? == copied.sha.clone().finish() {
            return Ok(Verdict::Grew);
        }
        Ok(Verdict::Torn("it was rewritten while it was read"))
    }

    fn second_look(&self, size: u64, writer: &TreeWriter<'_>) -> Result<String, ArchiveError> {
        let mut sha = Sha::default();
        let mut buffer = vec![0; STREAM_BYTES];
        let mut at = 0;
        while at < size {
            writer.check_cancel()?;
            let length = usize::try_from(size - at).unwrap_or(usize::MAX).min(STREAM_BYTES);
            self.read(&mut buffer[..length], at)?;
            sha.update(&buffer[..length]);
            at += length as u64;
        }
        Ok(sha.finish())
    }

    fn remark(&self, writer: &mut TreeWriter<'_>, verdict: &Verdict, entry: &Entry) -> Option<String> {
        let remark = match verdict {
            Verdict::Unchanged => return None,
            Verdict::Grew => format!("it grew while it was read; the first {} bytes are stored", entry.size),
            Verdict::Torn(how) => (*how).to_owned(),
        };
        writer.warn(format!("{}: {remark}", self.shown.display()));
        Some(remark)
    }
}

/// The facts of a file whose last change is at least a tick of the clock ago, so that a further one will show.
fn settled(file: &TreeFile, shown: &Path) -> Result<Facts, ArchiveError> {
    let look = || file.facts().map_err(|e| ArchiveError::read("looking at", shown, e));
    let facts = look()?;
    let now = clock::now().timestamp_nanos_opt().map_or(i128::MAX, i128::from);
    if !(0..CLOCK_TICK_NS).contains(&(now - facts.ctime_ns)) {
        return Ok(facts);
    }
    std::thread::sleep(Duration::from_nanos(u64::try_from(CLOCK_TICK_NS).unwrap_or(0)));
    look()
}

/// Where the data of a file with holes lies; `None` for one without.
fn segments(file: &TreeFile, facts: &Facts, shown: &Path) -> Result<Option<Vec<Segment>>, ArchiveError> {
    if facts.blocks.saturating_mul(512) >= facts.size {
        return Ok(None);
    }
    let pieces =
        file.data(facts.size, MAX_SEGMENTS).map_err(|e| ArchiveError::read("looking for holes in", shown, e))?;
    if pieces == [(0, facts.size)] {
        return Ok(None);
    }
    Ok(Some(pieces.into_iter().map(|(offset, bytes)| Segment { offset, bytes }).collect()))
}
