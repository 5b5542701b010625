//! Packs a plain stream into independent frames, in the calling thread or in a few workers, and hashes the result.
//!
//! Where cores are few and the source is a server on the same host, the calling thread packs: a third busy thread
//! would take the server's core (measured: 1.28 times the wall time of the same dump, docs/performance.md). Files are
//! packed by workers, for their source is never the slower side. Output does not depend on the number of workers.

mod inline;
mod pool;
mod sink;
#[cfg(test)]
mod tests;

use std::{
    io::{Seek, SeekFrom},
    path::Path,
};

use inline::Inline;
use pool::Pool;
use sink::Sink;

use super::{StreamError, hash::Sha};
use crate::{
    adapters::files::{AtomicFile, FileError},
    model::contents::{Codec, Frame},
};

/// A frame is cut at the next row or entry once it holds this much: small enough to read one table or file without
/// decoding much else, large enough not to cost compression.
pub const TARGET_FRAME_BYTES: u64 = 4 << 20;
/// A frame is cut wherever it is at this size; readers refuse larger ones, so that a hostile list cannot make them
/// allocate.
pub const MAX_FRAME_BYTES: u64 = 16 << 20;
/// Written bytes between two early write-backs, so that the final sync has little left to do.
const WRITE_BACK_BYTES: u64 = 32 << 20;
/// More workers than this would only add memory (8 MiB each).
const MAX_WORKERS: usize = 4;

/// How to pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// The format.
    pub codec: Codec,
    /// The codec's level: zstd's 1 to 19, libdeflate's 1 to 12.
    pub level: i32,
    /// Worker threads; 0 packs zstd in the calling thread. gzip always has at least one.
    pub workers: usize,
}

enum Engine {
    Inline(Box<Inline>),
    Pool(Pool),
}

/// Where a stream can be taken back to; see [`FrameWriter::mark`].
#[derive(Clone)]
pub struct Mark {
    bytes: u64,
    sha: Sha,
    frames: usize,
    plain_offset: u64,
}

/// A packed file that is being written, frame by frame.
pub struct FrameWriter {
    sink: Sink,
    engine: Engine,
    plain_offset: u64,
    frame_start: u64,
    aligned: bool,
    max_in_flight: usize,
}

impl FrameWriter {
    /// Creates the file under a temporary name in `dir`.
    ///
    /// # Errors
    /// When the file or a worker cannot be created, or the codec refuses the level.
    pub fn create(dir: &Path, name: &str, packing: Packing) -> Result<Self, StreamError> {
        let sink = Sink::create(dir, name)?;
        let engine = if packing.codec == Codec::Zstd && packing.workers == 0 {
            Inline::new(packing.level).map(|i| Engine::Inline(Box::new(i)))
        } else {
            Pool::new(packing).map(Engine::Pool)
        };
        let engine = engine.map_err(|e| sink.pack_error(e))?;
        let max_in_flight = packing.workers.clamp(1, MAX_WORKERS) + 1;
        Ok(Self { sink, engine, plain_offset: 0, frame_start: 0, aligned: true, max_in_flight })
    }

    /// Adds plain bytes to the current frame; cuts by itself at the largest allowed frame.
    ///
    /// # Errors
    /// When packing or writing fails.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            let room = MAX_FRAME_BYTES - self.frame_bytes();
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            match &mut self.engine {
                Engine::Inline(inline) => inline.write(now, &mut self.sink)?,
                Engine::Pool(pool) => pool.current.extend_from_slice(now),
            }
            self.plain_offset += now.len() as u64;
            if self.frame_bytes() == MAX_FRAME_BYTES {
                self.cut(later.is_empty() && self.aligned)?;
                self.aligned = false;
            }
            bytes = later;
        }
        Ok(())
    }

    /// Ends the current frame, if it holds anything. `aligned`: the next one begins at a row's or entry's beginning.
    ///
    /// # Errors
    /// When packing or writing fails.
    pub fn cut(&mut self, aligned: bool) -> Result<(), StreamError> {
        let plain_bytes = self.frame_bytes();
        if plain_bytes > 0 {
            match &mut self.engine {
                Engine::Inline(inline) => inline.end(self.frame_start, plain_bytes, self.aligned, &mut self.sink)?,
                Engine::Pool(pool) => {
                    pool.submit(self.frame_start, self.aligned).map_err(|e| self.sink.pack_error(e))?;
                    if pool.in_flight() >= self.max_in_flight {
                        pool.collect(&mut self.sink)?;
                    }
                }
            }
            self.frame_start = self.plain_offset;
        }
        self.aligned = aligned;
        Ok(())
    }

    /// Plain bytes written so far.
    pub fn plain_offset(&self) -> u64 {
        self.plain_offset
    }

    /// Plain bytes in the current frame.
    pub fn frame_bytes(&self) -> u64 {
        self.plain_offset - self.frame_start
    }

    /// Ends the current frame and remembers this place, for a later [`rewind`](Self::rewind).
    ///
    /// # Errors
    /// When packing or writing what came before fails.
    pub fn mark(&mut self) -> Result<Mark, StreamError> {
        self.cut(true)?;
        if let Engine::Pool(pool) = &mut self.engine {
            pool.drain(&mut self.sink)?;
        }
        Ok(Mark {
            bytes: self.sink.bytes,
            sha: self.sink.sha.clone(),
            frames: self.sink.frames.len(),
            plain_offset: self.plain_offset,
        })
    }

    /// Forgets everything since `mark`: for a file that changed while it was read.
    ///
    /// # Errors
    /// When the file cannot be cut back.
    pub fn rewind(&mut self, mark: &Mark) -> Result<(), StreamError> {
        self.cut(true)?;
        match &mut self.engine {
            Engine::Pool(pool) => pool.drain(&mut self.sink)?,
            Engine::Inline(inline) => inline.frame_offset = mark.bytes,
        }
        let mut file = self.sink.file.file();
        let cut_back = file.set_len(mark.bytes).and_then(|()| file.seek(SeekFrom::Start(mark.bytes)));
        cut_back.map_err(|e| FileError::new("cutting back", self.sink.file.target(), e))?;
        self.sink.bytes = mark.bytes;
        self.sink.written_back = self.sink.written_back.min(mark.bytes);
        self.sink.sha = mark.sha.clone();
        self.sink.frames.truncate(mark.frames);
        self.plain_offset = mark.plain_offset;
        self.frame_start = mark.plain_offset;
        self.aligned = true;
        Ok(())
    }

    /// Ends the last frame; the file is complete but still under its temporary name until
    /// [`FinishedFrames::publish`].
    ///
    /// # Errors
    /// When packing, writing or syncing fails.
    pub fn finish(mut self) -> Result<FinishedFrames, StreamError> {
        self.cut(true)?;
        if let Engine::Pool(pool) = &mut self.engine {
            pool.drain(&mut self.sink)?;
        }
        let synced = self.sink.write_back.finish();
        synced.map_err(|e| FileError::new("syncing", self.sink.file.target(), e))?;
        let Sink { file, sha, bytes, frames, .. } = self.sink;
        Ok(FinishedFrames { file, sha256: sha.finish(), bytes, frames, plain_bytes: self.plain_offset })
    }
}

/// A packed file that is complete but not yet visible.
pub struct FinishedFrames {
    file: AtomicFile,
    /// Its SHA-256.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
    /// Its frames, in order.
    pub frames: Vec<Frame>,
    /// Length of the plain stream.
    pub plain_bytes: u64,
}

impl FinishedFrames {
    /// Gives the file its name.
    ///
    /// # Errors
    /// When syncing or renaming fails; the file is gone then.
    pub fn publish(self) -> Result<(), FileError> {
        self.file.finish().map(drop)
    }
}
