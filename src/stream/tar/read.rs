//! Entries with digests, as a contents list has them, from the bytes of an archive.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::{Entry, Event, Parser, TarError};
use crate::{
    model::contents::{EntryKind, EntryLine},
    stream::{StreamError, hash::Sha},
};

/// Zeros that are hashed at once for a hole.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Reads an archive that comes in pieces, and gives each entry as a contents list has it: digests are taken from the
/// bytes of the archive, `offset` is where the entry's headers begin. Memory is bounded whatever the bytes are.
pub struct TarReader {
    parser: Parser,
    digester: Digester,
}

struct Digester {
    cancel: CancellationToken,
    current: Option<(Box<Entry>, u64, Sha)>,
}

/// Why reading ended early.
#[derive(Debug, thiserror::Error)]
enum Stop {
    #[error(transparent)]
    Tar(#[from] TarError),
    #[error("stopped")]
    Cancelled,
}

impl TarReader {
    /// A reader at the beginning of an archive. `cancel` ends also the hashing of a hole of a terabyte.
    pub fn new(cancel: CancellationToken) -> Self {
        Self { parser: Parser::default(), digester: Digester { cancel, current: None } }
    }

    /// Takes the next bytes; entries that are complete with them are appended to `entries`.
    ///
    /// # Errors
    /// [`StreamError::Cancelled`] when `cancel` fired; [`StreamError::Damaged`], which names `archive`, when the bytes
    /// are not a tar.
    pub fn push(&mut self, archive: &Path, bytes: &[u8], entries: &mut Vec<EntryLine>) -> Result<(), StreamError> {
        let digester = &mut self.digester;
        let pushed = self.parser.push(bytes, &mut |event| digester.event(event, entries));
        pushed.map_err(|stop| match stop {
            Stop::Tar(e) => StreamError::damaged(archive, e.to_string()),
            Stop::Cancelled => StreamError::Cancelled,
        })
    }

    /// Says that there are no more bytes.
    ///
    /// # Errors
    /// When the archive has not come to its end.
    pub fn finish(self, archive: &Path) -> Result<(), StreamError> {
        self.parser.finish().map_err(|e| StreamError::damaged(archive, e.to_string()))
    }
}

impl Digester {
    fn event(&mut self, event: Event<'_>, entries: &mut Vec<EntryLine>) -> Result<(), Stop> {
        match event {
            Event::Entry(entry, offset) => self.current = Some((entry, offset, Sha::default())),
            Event::Data(bytes) => {
                if let Some((_, _, sha)) = &mut self.current {
                    sha.update(bytes);
                }
            }
            Event::Hole(bytes) => self.hole(bytes)?,
            Event::EntryEnd => {
                if let Some((entry, offset, sha)) = self.current.take() {
                    let sha256 = (entry.kind == EntryKind::File).then(|| sha.finish());
                    entries.push(entry.line(sha256, Some(offset)));
                }
            }
        }
        Ok(())
    }

    fn hole(&mut self, bytes: u64) -> Result<(), Stop> {
        let Some((_, _, sha)) = &mut self.current else { return Ok(()) };
        if !hash_zeros(sha, bytes, &self.cancel) { Err(Stop::Cancelled) } else { Ok(()) }
    }
}

/// Adds `bytes` zeros to a digest; `false` when `cancel` fired meanwhile.
pub fn hash_zeros(sha: &mut Sha, mut bytes: u64, cancel: &CancellationToken) -> bool {
    while bytes > 0 {
        if cancel.is_cancelled() {
            return false;
        }
        let length = usize::try_from(bytes).unwrap_or(usize::MAX).min(ZEROS.len());
        sha.update(&ZEROS[..length]);
        bytes -= length as u64;
    }
    true
}
