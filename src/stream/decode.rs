//! Reads an artifact back: hashes every packed byte and gives the plain stream frame by frame.

use std::{
    fs::File,
    io::{BufReader, ErrorKind, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{StreamError, contents::ContentsReader, frames::MAX_FRAME_BYTES, hash::Sha};
use crate::{
    adapters::files::{self, FileError},
    model::contents::{Codec, Frame, Line},
};

/// The frames of an artifact as its contents list has them.
///
/// # Errors
/// When the list is damaged, or its frames overlap, leave gaps or are too large.
pub fn frames(contents: &Path) -> Result<(Codec, Vec<Frame>), StreamError> {
    let reader = ContentsReader::open(contents)?;
    let codec = reader.codec;
    let mut frames = Vec::new();
    let (mut offset, mut plain_offset) = (0, 0);
    for line in reader {
        match line? {
            Line::Frame(frame) => {
                let follows = frame.offset == offset && frame.plain_offset == plain_offset;
                let sane = (1..=MAX_FRAME_BYTES).contains(&frame.plain_bytes)
                    && (1..=2 * MAX_FRAME_BYTES).contains(&frame.bytes);
                if !follows || !sane {
                    let problem = format!("the frame at {} does not follow the one before", frame.offset);
                    return Err(StreamError::damaged(contents, problem));
                }
                offset += frame.bytes;
                plain_offset += frame.plain_bytes;
                frames.push(frame);
            }
            Line::End { plain_bytes, packed_bytes, .. } if (plain_bytes, packed_bytes) != (plain_offset, offset) => {
                return Err(StreamError::damaged(contents, "its frames do not add up to its end line"));
            }
            _ => {}
        }
    }
    Ok((codec, frames))
}

/// Reads an artifact's frames in order.
pub struct FrameReader {
    file: BufReader<File>,
    path: PathBuf,
    sha: Sha,
    bytes: u64,
    packed: Vec<u8>,
    plain: Vec<u8>,
    unpacker: Unpacker,
}

enum Unpacker {
    Zstd(zstd::bulk::Decompressor<'static>),
    Gzip(libdeflater::Decompressor),
}

impl Unpacker {
    fn new(path: &Path, codec: Codec) -> Result<Self, StreamError> {
        Ok(match codec {
            Codec::Zstd => Self::Zstd(zstd::bulk::Decompressor::new().map_err(|e| FileError::new("reading", path, e))?),
            Codec::Gzip => Self::Gzip(libdeflater::Decompressor::new()),
        })
    }

    fn unpack(&mut self, packed: &[u8], plain: &mut Vec<u8>, frame: &Frame) -> Result<(), String> {
        let length = usize::try_from(frame.plain_bytes).map_err(|e| e.to_string())?;
        plain.resize(length, 0);
        let got = match self {
            Self::Zstd(unpacker) => unpacker.decompress_to_buffer(packed, &mut plain[..]).map_err(|e| e.to_string())?,
            Self::Gzip(unpacker) => unpacker.gzip_decompress(packed, plain).map_err(|e| e.to_string())?,
        };
        if got == length { Ok(()) } else { Err(format!("{got} bytes instead of {length}")) }
    }
}

impl FrameReader {
    /// Opens an artifact; what the kernel still has of it is dropped first, so that the disk is read.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, codec: Codec) -> Result<Self, StreamError> {
        let file = files::open_read(path)?;
        files::drop_cache(&file);
        let unpacker = Unpacker::new(path, codec)?;
        Ok(Self {
            file: BufReader::new(file),
            path: path.to_owned(),
            sha: Sha::default(),
            bytes: 0,
            packed: Vec::new(),
            plain: Vec::new(),
            unpacker,
        })
    }

    /// The plain bytes of the next frame.
    ///
    /// # Errors
    /// When the file is too short or the frame cannot be decoded to its stated length.
    pub fn read(&mut self, frame: &Frame) -> Result<&[u8], StreamError> {
        let length = usize::try_from(frame.bytes).unwrap_or(usize::MAX);
        self.packed.resize(length, 0);
        match self.file.read_exact(&mut self.packed) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Err(cut_off(&self.path, frame)),
            Err(e) => return Err(FileError::new("reading", &self.path, e).into()),
        }
        self.sha.update(&self.packed);
        self.bytes += frame.bytes;
        let unpacked = self.unpacker.unpack(&self.packed, &mut self.plain, frame);
        unpacked.map_err(|e| undecodable(&self.path, frame, &e))?;
        Ok(&self.plain)
    }

    /// The plain bytes of the next frame, in a buffer of the caller's.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_into(&mut self, frame: &Frame, buffer: &mut Vec<u8>) -> Result<(), StreamError> {
        std::mem::swap(&mut self.plain, buffer);
        let read = self.read(frame).map(drop);
        std::mem::swap(&mut self.plain, buffer);
        read
    }

    /// Length and SHA-256 of the whole file; what follows the last frame is hashed too.
    ///
    /// # Errors
    /// When the rest cannot be read.
    pub fn finish(mut self) -> Result<(u64, String), StreamError> {
        let mut rest = vec![0; 1 << 16];
        loop {
            match self.file.read(&mut rest) {
                Ok(0) => return Ok((self.bytes, self.sha.finish())),
                Ok(n) => {
                    self.sha.update(&rest[..n]);
                    self.bytes += n as u64;
                }
                Err(e) => return Err(FileError::new("reading", &self.path, e).into()),
            }
        }
    }
}

fn cut_off(path: &Path, frame: &Frame) -> StreamError {
    StreamError::damaged(path, format!("ends inside the frame at {}", frame.offset))
}

fn undecodable(path: &Path, frame: &Frame, problem: &str) -> StreamError {
    StreamError::damaged(path, format!("the frame at {} cannot be decoded: {problem}", frame.offset))
}

/// Reads any range of an artifact's plain stream; decodes the frames that hold it and no others, keeps one.
///
/// Each reader has a file handle of its own, so that several read the same artifact at once.
pub struct RangeReader {
    file: File,
    path: PathBuf,
    frames: Arc<[Frame]>,
    unpacker: Unpacker,
    packed: Vec<u8>,
    plain: Vec<u8>,
    /// The frame that `plain` holds.
    decoded: Option<usize>,
}

impl RangeReader {
    /// Opens an artifact whose frames are those that [`frames`] gives.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, codec: Codec, frames: Arc<[Frame]>) -> Result<Self, StreamError> {
        let (file, unpacker) = (files::open_read(path)?, Unpacker::new(path, codec)?);
        Ok(Self { file, path: path.to_owned(), frames, unpacker, packed: Vec::new(), plain: Vec::new(), decoded: None })
    }

    /// The plain bytes from `from` on: up to `to` or the end of a frame, whichever comes first. Empty only where the
    /// range is.
    ///
    /// # Errors
    /// When the range is not in the stream, or its frame cannot be read and decoded.
    pub fn read(&mut self, from: u64, to: u64) -> Result<&[u8], StreamError> {
        if from >= to {
            return Ok(&[]);
        }
        let after = self.frames.partition_point(|frame| frame.plain_offset <= from);
        let found = after.checked_sub(1).and_then(|at| Some((at, *self.frames.get(at)?)));
        let Some((at, frame)) = found.filter(|(_, frame)| from < frame.plain_offset + frame.plain_bytes) else {
            return Err(StreamError::damaged(&self.path, format!("has no byte {from}")));
        };
        if self.decoded != Some(at) {
            self.decode(&frame)?;
            self.decoded = Some(at);
        }
        let within = |offset: u64| usize::try_from(offset - frame.plain_offset).unwrap_or(usize::MAX);
        Ok(&self.plain[within(from)..within(to).min(self.plain.len())])
    }

    fn decode(&mut self, frame: &Frame) -> Result<(), StreamError> {
        self.decoded = None;
        self.packed.resize(usize::try_from(frame.bytes).unwrap_or(usize::MAX), 0);
        self.file.read_exact_at(&mut self.packed, frame.offset).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => cut_off(&self.path, frame),
            _ => FileError::new("reading", &self.path, e).into(),
        })?;
        let unpacked = self.unpacker.unpack(&self.packed, &mut self.plain, frame);
        unpacked.map_err(|e| undecodable(&self.path, frame, &e))
    }
}

/// Length and SHA-256 of a file, read from the disk.
///
/// # Errors
/// When it cannot be read.
pub fn digest(path: &Path) -> Result<(u64, String), StreamError> {
    let mut file = files::open_read(path)?;
    files::drop_cache(&file);
    let mut sha = Sha::default();
    let mut bytes = 0;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, sha.finish())),
            Ok(n) => {
                sha.update(&buffer[..n]);
                bytes += n as u64;
            }
            Err(e) => return Err(FileError::new("reading", path, e).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::contents::ContentsKind,
        stream::{
            artifact::{ArtifactWriter, SourceEnd},
            frames::Packing,
        },
    };

    #[test]
    fn any_range_is_read_from_the_frames_that_hold_it() {
        let plain: Vec<u8> = (0..10_000_u32).flat_map(u32::to_le_bytes).collect();
        for codec in [Codec::Zstd, Codec::Gzip] {
            let dir = tempfile::tempdir().unwrap();
            let packing = Packing { codec, level: 1, workers: 0 };
            let mut writer = ArtifactWriter::create(dir.path(), "a", ContentsKind::PostgresDump, packing).unwrap();
            for piece in plain.chunks(1000) {
                writer.write(piece).unwrap();
                writer.cut_if(3000).unwrap();
            }
            let packed = writer.finish(SourceEnd::ReadToEnd).unwrap();
            let path = dir.path().join(&packed.packed.file);
            let (codec, list) = frames(&dir.path().join(&packed.contents.file)).unwrap();
            assert_eq!(list.len(), 14);
            let mut reader = RangeReader::open(&path, codec, list.clone().into()).unwrap();
            for (from, to) in [(39_000, 40_000), (0, 40_000), (2_999, 3_001), (3_000, 3_000), (5, 6), (17_000, 29_001)]
            {
                let mut found = Vec::new();
                while from + found.len() < to {
                    let piece = reader.read((from + found.len()) as u64, to as u64).unwrap();
                    found.extend_from_slice(piece);
                }
                assert_eq!(found, plain[from..to], "{from}..{to}");
            }
            assert!(reader.read(40_000, 40_001).unwrap_err().to_string().contains("no byte 40000"));
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(bytes.len() - 1);
            #[expect(clippy::disallowed_methods, reason = "a test damages a file")]
            std::fs::write(&path, bytes).unwrap();
            let mut reader = RangeReader::open(&path, codec, list.into()).unwrap();
            assert!(reader.read(0, 1).is_ok());
            assert!(reader.read(39_999, 40_000).unwrap_err().to_string().contains("ends inside the frame"));
        }
    }
}
