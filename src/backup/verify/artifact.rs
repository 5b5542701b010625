//! One artifact: its digests, and what is in it.

use std::{
    path::Path,
    sync::mpsc::{channel, sync_channel},
};

use tokio_util::sync::CancellationToken;

use super::{Watch, dump, tree};
use crate::{
    model::{
        contents::{ContentsKind, Frame},
        manifest::{Artifact, Evidence, FileDigest, Level},
        units::{ByteSize, count},
    },
    stream::{
        StreamError,
        decode::{self, FrameReader},
    },
};

/// Decoded frames that wait or are being looked at.
const BUFFERS: usize = 2;

/// Checks an artifact with its contents list and companions.
pub(super) fn check(dir: &Path, artifact: &Artifact, level: Level, watch: &Watch<'_>) -> Result<Evidence, StreamError> {
    let path = dir.join(&artifact.packed.file);
    for file in [&artifact.contents].into_iter().chain(&artifact.companions) {
        compare(&dir.join(&file.file), file, &decode::digest(&dir.join(&file.file))?)?;
    }
    let mut checks = Vec::new();
    match level {
        Level::Checksum => {
            compare(&path, &artifact.packed, &decode::digest(&path)?)?;
            watch.read(artifact.packed.bytes, &artifact.packed.file)?;
        }
        Level::Structure | Level::Drill => checks = structure(dir, artifact, watch)?,
    }
    checks.insert(0, format!("SHA-256 of {}", ByteSize(artifact.packed.bytes)));
    Ok(Evidence { file: artifact.packed.file.clone(), checks })
}

/// Compares length and digest with what they should be.
pub(super) fn compare(path: &Path, expected: &FileDigest, found: &(u64, String)) -> Result<(), StreamError> {
    if found.0 != expected.bytes {
        let problem = format!("has {} bytes instead of {}", found.0, expected.bytes);
        return Err(StreamError::damaged(path, problem));
    }
    if found.1 != expected.sha256 {
        let problem = format!("its SHA-256 is {} instead of {}", found.1, expected.sha256);
        return Err(StreamError::damaged(path, problem));
    }
    Ok(())
}

/// A packed artifact that is read to its end, frame by frame, with its digest compared at the end.
pub(super) struct Decoding<'a> {
    path: &'a Path,
    artifact: &'a Artifact,
    watch: &'a Watch<'a>,
    frames: std::vec::IntoIter<Frame>,
    reader: FrameReader,
}

impl Decoding<'_> {
    /// What stops it.
    pub(super) fn cancel(&self) -> CancellationToken {
        self.watch.cancel.clone()
    }

    /// Gives every frame's plain bytes to `take`, then compares the whole file's digest. Another thread reads and decodes
    /// ahead.
    ///
    /// A frame that cannot be decoded is the first thing that a flipped byte shows; it is reported as what it is.
    pub(super) fn run(self, mut take: impl FnMut(&[u8]) -> Result<(), StreamError>) -> Result<(), StreamError> {
        let Self { path, artifact, watch, frames, mut reader } = self;
        let mut plain = 0;
        let digest = std::thread::scope(|scope| {
            let (decoded, taken) = sync_channel(1);
            let (give_back, buffers) = channel();
            for _ in 0..BUFFERS {
                // The other end is below.
                let _ = give_back.send(Vec::new());
            }
            let ahead = scope.spawn(move || {
                for frame in frames {
                    let Ok(mut buffer) = buffers.recv() else { return Ok(None) };
                    reader.read_into(&frame, &mut buffer)?;
                    if decoded.send((frame.bytes, buffer)).is_err() {
                        return Ok(None);
                    }
                }
                reader.finish().map(Some)
            });
            for (packed_bytes, buffer) in taken {
                plain += buffer.len() as u64;
                take(&buffer)?;
                watch.read(packed_bytes, &artifact.packed.file)?;
                // After the last frame nobody wants it.
                let _ = give_back.send(buffer);
            }
            ahead.join().unwrap_or_else(|_| Err(StreamError::damaged(path, "its decoding ended without a result")))
        })?;
        let cut_short = || StreamError::damaged(path, "its decoding ended early");
        compare(path, &artifact.packed, &digest.ok_or_else(cut_short)?)?;
        if plain != artifact.plain_bytes {
            let problem = format!("holds {plain} plain bytes; its manifest says {}", artifact.plain_bytes);
            return Err(StreamError::damaged(path, problem));
        }
        Ok(())
    }
}

fn structure(dir: &Path, artifact: &Artifact, watch: &Watch<'_>) -> Result<Vec<String>, StreamError> {
    let path = dir.join(&artifact.packed.file);
    let contents = dir.join(&artifact.contents.file);
    let (codec, frames) = decode::frames(&contents)?;
    if codec != artifact.codec {
        return Err(StreamError::damaged(&contents, "names another codec than the manifest"));
    }
    let mut checks =
        vec![format!("{} decoded to {}", count(frames.len() as u64, "frame"), ByteSize(artifact.plain_bytes))];
    let decoding =
        Decoding { path: &path, artifact, watch, frames: frames.into_iter(), reader: FrameReader::open(&path, codec)? };
    checks.extend(match artifact.kind {
        ContentsKind::PostgresDump => dump::database(&path, &contents, artifact, decoding)?,
        ContentsKind::PostgresGlobals => dump::globals(&path, &contents, decoding)?,
        ContentsKind::Tree => tree::check(&path, &contents, artifact, decoding)?,
    });
    Ok(checks)
}
