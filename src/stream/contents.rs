//! Writes and reads contents lists: zstd-packed JSON lines beside each artifact.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use super::{StreamError, hash::Sha};
use crate::{
    adapters::files::{self, AtomicFile, FileError},
    model::{
        contents::{CONTENTS_VERSION, Codec, ContentsKind, Frame, Line, ROW_DIGEST},
        manifest::FileDigest,
    },
};

const FORMAT: &str = "maint-contents";
/// No line is longer: a path is at most some KiB, a table's columns at most 1600 names of 63 bytes, and long texts of an
/// object are told by digest.
const MAX_LINE_BYTES: u64 = 16 << 20;

/// The contents list's file name for an artifact's.
pub fn file_name(artifact: &str) -> String {
    let stem = artifact
        .rsplit_once('.')
        .map_or(artifact, |(stem, _)| stem.strip_suffix(".sql").or(stem.strip_suffix(".tar")).unwrap_or(stem));
    format!("{stem}.contents.jsonl.zst")
}

struct HashingWriter {
    file: AtomicFile,
    sha: Sha,
    bytes: u64,
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.file().write(bytes)?;
        self.sha.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A contents list that is being written.
pub struct ContentsWriter {
    out: zstd::Encoder<'static, HashingWriter>,
    path: PathBuf,
    objects: u64,
}

impl ContentsWriter {
    /// Creates the list for `artifact` in `dir` and writes its header.
    ///
    /// # Errors
    /// When it cannot be created or written.
    pub fn create(dir: &Path, artifact: &str, kind: ContentsKind, codec: Codec) -> Result<Self, StreamError> {
        let name = file_name(artifact);
        let path = dir.join(&name);
        let sink = HashingWriter { file: AtomicFile::create(dir, &name)?, sha: Sha::default(), bytes: 0 };
        let encoder = zstd::Encoder::new(sink, 3).and_then(|mut e| e.include_checksum(true).map(|()| e));
        let out = encoder.map_err(|e| FileError::new("creating", &path, e))?;
        let mut this = Self { out, path, objects: 0 };
        let row_digest = (kind == ContentsKind::PostgresDump).then(|| ROW_DIGEST.to_owned());
        this.line(&Line::Header { format: FORMAT.into(), version: CONTENTS_VERSION, kind, codec, row_digest })?;
        Ok(this)
    }

    fn line(&mut self, line: &Line) -> Result<(), StreamError> {
        let written = serde_json::to_writer(&mut self.out, line).map_err(io::Error::from);
        let written = written.and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|e| FileError::new("writing", &self.path, e).into())
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, line: &Line) -> Result<(), StreamError> {
        if matches!(line, Line::Table(_) | Line::LargeObject(_) | Line::Entry(_)) {
            self.objects += 1;
        }
        self.line(line)
    }

    /// Writes frames and end line and gives the file its name.
    ///
    /// # Errors
    /// When writing, syncing or renaming fails; the file is gone then.
    pub fn finish(mut self, frames: &[Frame], plain_bytes: u64, packed_bytes: u64) -> Result<FileDigest, StreamError> {
        for frame in frames {
            self.line(&Line::Frame(*frame))?;
        }
        let (frames, objects) = (frames.len() as u64, self.objects);
        self.line(&Line::End { frames, objects, plain_bytes, packed_bytes })?;
        let sink = self.out.finish().map_err(|e| FileError::new("writing", &self.path, e))?;
        sink.file.finish()?;
        let file = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileDigest { file, bytes: sink.bytes, sha256: sink.sha.finish() })
    }
}

/// Reads a contents list line by line, in bounded memory; [`next`](Iterator::next) ends after the end line.
pub struct ContentsReader {
    lines: BufReader<zstd::Decoder<'static, BufReader<std::fs::File>>>,
    path: PathBuf,
    /// Kind of the artifact.
    pub kind: ContentsKind,
    /// Packing of the artifact.
    pub codec: Codec,
    number: u64,
    objects: u64,
    frames: u64,
    ended: bool,
}

impl ContentsReader {
    /// Opens a list and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is not a contents list, or is of a newer version.
    pub fn open(path: &Path) -> Result<Self, StreamError> {
        let file = files::open_read(path)?;
        let decoder = zstd::Decoder::new(file).map_err(|e| FileError::new("reading", path, e))?;
        let mut this = Self {
            lines: BufReader::new(decoder),
            path: path.to_owned(),
            kind: ContentsKind::Tree,
            codec: Codec::Zstd,
            number: 0,
            objects: 0,
            frames: 0,
            ended: false,
        };
        match this.read_line()? {
            Some(Line::Header { format, version, kind, codec, .. }) if format == FORMAT => {
                if version > CONTENTS_VERSION {
                    let problem = format!("format version {version}; this maint reads up to {CONTENTS_VERSION}");
                    return Err(StreamError::damaged(path, problem));
                }
                this.kind = kind;
                this.codec = codec;
                Ok(this)
            }
            _ => Err(StreamError::damaged(path, "this is not a contents list")),
        }
    }

    fn read_line(&mut self) -> Result<Option<Line>, StreamError> {
        let mut text = Vec::new();
        let read = (&mut self.lines).take(MAX_LINE_BYTES).read_until(b'\n', &mut text);
        let length = read.map_err(|e| StreamError::damaged(&self.path, format!("cannot be decoded: {e}")))?;
        self.number += 1;
        if length == 0 {
            return Ok(None);
        }
        let line = serde_json::from_slice(&text);
        line.map(Some).map_err(|e| StreamError::damaged(&self.path, format!("line {}: {e}", self.number)))
    }

    fn step(&mut self) -> Result<Option<Line>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        let Some(line) = self.read_line()? else {
            return Err(StreamError::damaged(&self.path, "is cut off: it has no end line"));
        };
        match &line {
            Line::Frame(_) => self.frames += 1,
            Line::Table(_) | Line::LargeObject(_) | Line::Entry(_) => self.objects += 1,
            Line::End { frames, objects, .. } => {
                self.ended = true;
                if (*frames, *objects) != (self.frames, self.objects) {
                    return Err(StreamError::damaged(&self.path, "its end line counts differently"));
                }
                if self.read_line()?.is_some() {
                    return Err(StreamError::damaged(&self.path, "goes on after its end line"));
                }
            }
            _ => {}
        }
        Ok(Some(line))
    }
}

impl Iterator for ContentsReader {
    type Item = Result<Line, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.step().transpose();
        if matches!(item, Some(Err(_))) {
            self.ended = true;
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(file_name("db-202608.sql.zst"), "db-202608.contents.jsonl.zst");
        assert_eq!(file_name("config-202608.tar.gz"), "config-202608.contents.jsonl.zst");
    }

    #[test]
    fn a_list_survives_and_a_cut_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer =
            ContentsWriter::create(dir.path(), "a-1.sql.zst", ContentsKind::PostgresDump, Codec::Zstd).unwrap();
        writer.record(&Line::CatalogueLargeObjects { count: 3 }).unwrap();
        let digest = writer.finish(&[], 0, 0).unwrap();
        let path = dir.path().join(&digest.file);
        let lines: Vec<_> = ContentsReader::open(&path).unwrap().map(Result::unwrap).collect();
        assert_eq!(lines.len(), 2);

        let plain = zstd::decode_all(&std::fs::read(&path).unwrap()[..]).unwrap();
        let cut = plain.iter().rposition(|b| *b == b'\n').map(|end| &plain[..end]).unwrap();
        let cut = &cut[..cut.iter().rposition(|b| *b == b'\n').unwrap() + 1];
        std::fs::write(&path, zstd::encode_all(cut, 1).unwrap()).unwrap();
        let last = ContentsReader::open(&path).unwrap().last().unwrap();
        assert!(last.unwrap_err().to_string().contains("cut off"));
    }
}
