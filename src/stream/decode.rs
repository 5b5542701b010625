//! Reads an artifact back: hashes every packed byte and gives the plain stream frame by frame.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
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
        let unpacker = match codec {
            Codec::Zstd => {
                Unpacker::Zstd(zstd::bulk::Decompressor::new().map_err(|e| FileError::new("reading", path, e))?)
            }
            Codec::Gzip => Unpacker::Gzip(libdeflater::Decompressor::new()),
        };
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
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(StreamError::damaged(&self.path, format!("ends inside the frame at {}", frame.offset)));
            }
            Err(e) => return Err(FileError::new("reading", &self.path, e).into()),
        }
        self.sha.update(&self.packed);
        self.bytes += frame.bytes;
        let unpacked = self.unpacker.unpack(&self.packed, &mut self.plain, frame);
        unpacked.map_err(|e| {
            StreamError::damaged(&self.path, format!("the frame at {} cannot be decoded: {e}", frame.offset))
        })?;
        Ok(&self.plain)
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
