//! A foreign tar, e.g. from the Docker API, re-written into our own form.

use std::io::{self, Read};

use tokio_util::sync::CancellationToken;

use super::{
    ArchiveError, CapturedTree,
    writer::{Begun, TreeWriter},
};
use crate::{
    model::{contents::EntryKind, event::StepEvents},
    stream::{
        StreamError,
        artifact::ArtifactWriter,
        hash::Sha,
        tar::{Entry, Event, Parser, TarError, hash_zeros},
    },
};

/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;

enum Stop {
    Tar(TarError),
    Archive(ArchiveError),
}

impl From<TarError> for Stop {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

struct Rewriter<'a> {
    writer: TreeWriter<'a>,
    strip: Option<&'a str>,
    current: Option<(Box<Entry>, Begun, Sha)>,
}

/// Captures the entries of a foreign tar in the order in which they come.
///
/// `origin` names the source in errors. `strip`: the name of the directory that the stream was made of; its entries
/// move to the top and it becomes `.` itself.
///
/// # Errors
/// When the stream cannot be read, is cut off, holds something that cannot be stored or a path that leads out of the
/// archive, when the artifact cannot be written, or `cancel` fires. Nothing is left of the artifact then.
pub fn from_tar_stream(
    mut stream: impl Read,
    origin: &str,
    strip: Option<&str>,
    artifact: ArtifactWriter,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<CapturedTree, ArchiveError> {
    let mut parser = Parser::default();
    let mut rewriter = Rewriter { writer: TreeWriter::new(artifact, cancel, events), strip, current: None };
    let mut buffer = vec![0; READ_BYTES];
    let foreign = |source| ArchiveError::Foreign { origin: origin.to_owned(), source };
    loop {
        rewriter.writer.check_cancel()?;
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ArchiveError::Source { origin: origin.to_owned(), source }),
        };
        let pushed = parser.push(&buffer[..length], &mut |event| rewriter.event(event));
        pushed.map_err(|stop| match stop {
            Stop::Tar(e) => foreign(e),
            Stop::Archive(e) => e,
        })?;
    }
    parser.finish().map_err(foreign)?;
    rewriter.writer.finish()
}

impl Rewriter<'_> {
    fn event(&mut self, event: Event<'_>) -> Result<(), Stop> {
        match event {
            Event::Entry(mut entry, offset) => {
                entry.path = self.inside(&entry.path, offset)?;
                if let (EntryKind::Hardlink, Some(target)) = (entry.kind, &entry.target) {
                    entry.target = Some(self.inside(target, offset)?);
                }
                let begun = self.writer.begin(&entry).map_err(Stop::Archive)?;
                self.current = Some((entry, begun, Sha::default()));
            }
            Event::Data(bytes) => {
                if let Some((_, _, sha)) = &mut self.current {
                    sha.update(bytes);
                    self.writer.data(bytes).map_err(archive)?;
                }
            }
            Event::Hole(bytes) => {
                if let Some((_, _, sha)) = &mut self.current
                    && !hash_zeros(sha, bytes, self.writer.cancel())
                {
                    return Err(archive(StreamError::Cancelled));
                }
            }
            Event::EntryEnd => {
                if let Some((entry, begun, sha)) = self.current.take() {
                    let sha256 = (entry.kind == EntryKind::File).then(|| sha.finish());
                    self.writer.end(&begun, &entry, sha256, None).map_err(archive)?;
                }
            }
        }
        Ok(())
    }

    /// A path of the stream as it stands in our archive.
    fn inside(&self, path: &[u8], offset: u64) -> Result<Vec<u8>, TarError> {
        let refuse = |why: &str| {
            let problem = format!("the path `{}` {why}", String::from_utf8_lossy(path));
            TarError { offset, problem }
        };
        if path.starts_with(b"/") || path.split(|b| *b == b'/').any(|part| part == b"..") {
            return Err(refuse("leads out of the archive"));
        }
        let Some(strip) = self.strip else { return Ok(path.to_vec()) };
        match path.strip_prefix(strip.as_bytes()) {
            Some(b"") => Ok(b".".to_vec()),
            Some([b'/', rest @ ..]) if !rest.is_empty() => Ok(rest.to_vec()),
            _ => Err(refuse(&format!("is not below `{strip}`"))),
        }
    }
}

fn archive(error: StreamError) -> Stop {
    Stop::Archive(error.into())
}
