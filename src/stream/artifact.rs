//! One artifact with its contents list, from the first byte to a finished pair of files, or to nothing at all.

use std::path::{Path, PathBuf};

use super::{
    StreamError,
    contents::ContentsWriter,
    frames::{FrameWriter, Mark, Packing},
};
use crate::{
    adapters::process::ProcessEnd,
    model::{
        contents::{ContentsKind, Line},
        manifest::FileDigest,
    },
};

/// How the source of an artifact ended. End of file alone never makes an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceEnd {
    /// A process wrote the stream and ended so.
    Process(ProcessEnd),
    /// maint read the source itself, to its end.
    ReadToEnd,
}

/// An artifact that is being written. Dropped unfinished, it leaves nothing behind.
pub struct ArtifactWriter {
    name: String,
    packing: Packing,
    frames: FrameWriter,
    contents: ContentsWriter,
}

/// A finished artifact: both files stand in the staging directory, synced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackedArtifact {
    /// The packed file.
    pub packed: FileDigest,
    /// Its contents list.
    pub contents: FileDigest,
    /// How it was packed.
    pub packing: Packing,
    /// Length of the plain stream.
    pub plain_bytes: u64,
}

impl ArtifactWriter {
    /// Creates both files under temporary names in `dir`.
    ///
    /// # Errors
    /// When one of them cannot be created.
    pub fn create(dir: &Path, name: &str, kind: ContentsKind, packing: Packing) -> Result<Self, StreamError> {
        let frames = FrameWriter::create(dir, name, packing)?;
        let contents = ContentsWriter::create(dir, name, kind, packing.codec)?;
        Ok(Self { name: name.to_owned(), packing, frames, contents })
    }

    /// The artifact's file name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Adds plain bytes.
    ///
    /// # Errors
    /// When packing or writing fails.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.frames.write(bytes)
    }

    /// Ends the current frame once it holds at least `least` plain bytes; call it where a row or entry begins.
    ///
    /// # Errors
    /// When packing or writing fails.
    pub fn cut_if(&mut self, least: u64) -> Result<(), StreamError> {
        if self.frames.frame_bytes() >= least { self.frames.cut(true) } else { Ok(()) }
    }

    /// Ends the current frame inside a row or entry.
    ///
    /// # Errors
    /// When packing or writing fails.
    pub fn cut_inside(&mut self) -> Result<(), StreamError> {
        self.frames.cut(false)
    }

    /// Plain bytes in the current frame.
    pub fn frame_bytes(&self) -> u64 {
        self.frames.frame_bytes()
    }

    /// Plain bytes written so far.
    pub fn plain_offset(&self) -> u64 {
        self.frames.plain_offset()
    }

    /// See [`FrameWriter::mark`].
    ///
    /// # Errors
    /// When packing or writing what came before fails.
    pub fn mark(&mut self) -> Result<Mark, StreamError> {
        self.frames.mark()
    }

    /// See [`FrameWriter::rewind`]. Record an object only after the last rewind behind it.
    ///
    /// # Errors
    /// When the file cannot be cut back.
    pub fn rewind(&mut self, mark: &Mark) -> Result<(), StreamError> {
        self.frames.rewind(mark)
    }

    /// Adds a line to the contents list.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, line: &Line) -> Result<(), StreamError> {
        self.contents.record(line)
    }

    /// Syncs both files and gives them their names; the artifact first, so that a list never stands alone.
    ///
    /// # Errors
    /// [`StreamError::SourceFailed`] when the source did not end well; nothing is left then.
    pub fn finish(self, end: SourceEnd) -> Result<PackedArtifact, StreamError> {
        if let SourceEnd::Process(end) = end
            && !end.is_success()
        {
            return Err(StreamError::SourceFailed { name: self.name, end });
        }
        let frames = self.frames.finish()?;
        let contents = self.contents.finish(&frames.frames, frames.plain_bytes, frames.bytes)?;
        let packed = FileDigest { file: self.name, bytes: frames.bytes, sha256: frames.sha256.clone() };
        let plain_bytes = frames.plain_bytes;
        frames.publish()?;
        Ok(PackedArtifact { packed, contents, packing: self.packing, plain_bytes })
    }
}

/// Writes a small text file of a set whole, and gives its digest.
///
/// # Errors
/// When it cannot be written.
pub fn write_text(dir: &Path, name: &str, text: &str) -> Result<FileDigest, StreamError> {
    let path: PathBuf = dir.join(name);
    crate::adapters::files::write_atomic(&path, text.as_bytes())?;
    Ok(FileDigest { file: name.to_owned(), bytes: text.len() as u64, sha256: super::hash::Sha::of(text.as_bytes()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::contents::Codec;

    fn writer(dir: &Path) -> ArtifactWriter {
        let packing = Packing { codec: Codec::Zstd, level: 2, workers: 0 };
        let mut writer = ArtifactWriter::create(dir, "db-1.sql.zst", ContentsKind::PostgresDump, packing).unwrap();
        writer.write(b"half a dump").unwrap();
        writer
    }

    #[test]
    fn a_failed_source_leaves_nothing() {
        for end in [ProcessEnd::Exit(1), ProcessEnd::Signal(9)] {
            let dir = tempfile::tempdir().unwrap();
            let error = writer(dir.path()).finish(SourceEnd::Process(end)).unwrap_err();
            assert!(matches!(error, StreamError::SourceFailed { .. }));
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_forgotten_finish_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(writer(dir.path()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
