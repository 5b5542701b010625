//! Packs a plain stream into independent frames, in the calling thread or in a few workers, and hashes the result.
//!
//! Where cores are few and the source is a server on the same host, the calling thread packs: a third busy thread
//! would take the server's core (measured: 1.28 times the wall time of the same dump, docs/performance.md). Files are
//! packed by workers, for their source is never the slower side. Output does not depend on the number of workers.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Seek, SeekFrom, Write},
    path::Path,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use zstd::{
    stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer},
    zstd_safe,
};

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

fn compress_zstd(level: i32) -> io::Result<zstd::bulk::Compressor<'static>> {
    let mut compressor = zstd::bulk::Compressor::new(level)?;
    compressor.set_parameter(CParameter::ChecksumFlag(true))?;
    Ok(compressor)
}

enum BulkPacker {
    Zstd(zstd::bulk::Compressor<'static>),
    Gzip(libdeflater::Compressor),
}

impl BulkPacker {
    fn new(packing: Packing) -> io::Result<Self> {
        Ok(match packing.codec {
            Codec::Zstd => Self::Zstd(compress_zstd(packing.level)?),
            Codec::Gzip => {
                let level = libdeflater::CompressionLvl::new(packing.level)
                    .map_err(|_| io::Error::other("gzip levels are 1 to 12"))?;
                Self::Gzip(libdeflater::Compressor::new(level))
            }
        })
    }

    fn pack(&mut self, plain: &[u8], packed: &mut Vec<u8>) -> io::Result<()> {
        packed.clear();
        match self {
            Self::Zstd(compressor) => {
                packed.reserve(zstd_safe::compress_bound(plain.len()));
                compressor.compress_to_buffer(plain, packed).map(drop)
            }
            Self::Gzip(compressor) => {
                packed.resize(compressor.gzip_compress_bound(plain.len()), 0);
                let length = compressor.gzip_compress(plain, packed).map_err(io::Error::other)?;
                packed.truncate(length);
                Ok(())
            }
        }
    }
}

type Packed = (Vec<u8>, io::Result<Vec<u8>>);

struct Work {
    plain: Vec<u8>,
    packed: Vec<u8>,
    done: SyncSender<Packed>,
}

struct InFlight {
    done: Receiver<Packed>,
    plain_offset: u64,
    plain_bytes: u64,
    aligned: bool,
}

/// Workers that pack whole frames; frames come back in order.
struct Pool {
    work: Option<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
    in_flight: VecDeque<InFlight>,
    current: Vec<u8>,
    spare: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pool {
    fn new(packing: Packing) -> io::Result<Self> {
        let workers = packing.workers.clamp(1, MAX_WORKERS);
        let (work, queue) = sync_channel::<Work>(1);
        let queue = Arc::new(Mutex::new(queue));
        let mut threads = Vec::with_capacity(workers);
        for _ in 0..workers {
            let mut packer = BulkPacker::new(packing)?;
            let queue = Arc::clone(&queue);
            let body = move || {
                while let Some(mut job) = queue.lock().ok().and_then(|q| q.recv().ok()) {
                    let result = packer.pack(&job.plain, &mut job.packed).map(|()| job.packed);
                    // The writer went away with the artifact; so does this frame.
                    let _ = job.done.send((job.plain, result));
                }
            };
            threads.push(std::thread::Builder::new().name("pack".into()).spawn(body)?);
        }
        Ok(Self { work: Some(work), threads, in_flight: VecDeque::new(), current: Vec::new(), spare: Vec::new() })
    }

    fn submit(&mut self, plain_offset: u64, aligned: bool) -> io::Result<()> {
        let (next, packed) = self.spare.pop().unwrap_or_default();
        let plain = std::mem::replace(&mut self.current, next);
        self.current.clear();
        let (done, result) = sync_channel(1);
        let plain_bytes = plain.len() as u64;
        let sender = self.work.as_ref().ok_or_else(|| io::Error::other("the pack workers are gone"))?;
        sender.send(Work { plain, packed, done }).map_err(|_| io::Error::other("the pack workers are gone"))?;
        self.in_flight.push_back(InFlight { done: result, plain_offset, plain_bytes, aligned });
        Ok(())
    }

    fn collect(&mut self, sink: &mut Sink) -> Result<(), StreamError> {
        let Some(frame) = self.in_flight.pop_front() else { return Ok(()) };
        let (plain, packed) = frame.done.recv().map_err(|e| sink.pack_error(io::Error::other(e)))?;
        let packed = packed.map_err(|e| sink.pack_error(e))?;
        let offset = sink.bytes;
        sink.write(&packed)?;
        sink.frames.push(Frame {
            offset,
            bytes: packed.len() as u64,
            plain_offset: frame.plain_offset,
            plain_bytes: frame.plain_bytes,
            aligned: frame.aligned,
        });
        self.spare.push((plain, packed));
        Ok(())
    }

    fn drain(&mut self, sink: &mut Sink) -> Result<(), StreamError> {
        while !self.in_flight.is_empty() {
            self.collect(sink)?;
        }
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.work = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Packs zstd frames in the calling thread as bytes come.
struct Inline {
    encoder: Encoder<'static>,
    out: Vec<u8>,
    frame_offset: u64,
}

impl Inline {
    fn new(level: i32) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { encoder, out: vec![0; zstd_safe::CCtx::out_size()], frame_offset: 0 })
    }

    fn write(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), StreamError> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            let mut output = OutBuffer::around(&mut self.out[..]);
            self.encoder.run(&mut input, &mut output).map_err(|e| sink.pack_error(e))?;
            let length = output.pos();
            sink.write(&self.out[..length])?;
        }
        Ok(())
    }

    fn end(&mut self, plain_offset: u64, plain_bytes: u64, aligned: bool, sink: &mut Sink) -> Result<(), StreamError> {
        loop {
            let mut output = OutBuffer::around(&mut self.out[..]);
            let left = self.encoder.finish(&mut output, true).map_err(|e| sink.pack_error(e))?;
            let length = output.pos();
            sink.write(&self.out[..length])?;
            if left == 0 {
                break;
            }
        }
        self.encoder.reinit().map_err(|e| sink.pack_error(e))?;
        let bytes = sink.bytes - self.frame_offset;
        sink.frames.push(Frame { offset: self.frame_offset, bytes, plain_offset, plain_bytes, aligned });
        self.frame_offset = sink.bytes;
        Ok(())
    }
}

/// The packed file: hashed as it is written, written back early.
struct Sink {
    file: AtomicFile,
    sha: Sha,
    bytes: u64,
    frames: Vec<Frame>,
    written_back: u64,
    write_back: WriteBack,
}

impl Sink {
    fn create(dir: &Path, name: &str) -> Result<Self, StreamError> {
        let file = AtomicFile::create(dir, name)?;
        let write_back = WriteBack::start(file.file()).map_err(|e| FileError::new("creating", file.target(), e))?;
        Ok(Self { file, sha: Sha::default(), bytes: 0, frames: Vec::new(), written_back: 0, write_back })
    }

    fn pack_error(&self, source: io::Error) -> StreamError {
        let name = self.file.target().file_name().unwrap_or_default().to_string_lossy().into_owned();
        StreamError::Pack { name, source }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        self.sha.update(bytes);
        let written = self.file.file().write_all(bytes);
        written.map_err(|e| FileError::new("writing", self.file.target(), e))?;
        self.bytes += bytes.len() as u64;
        if self.bytes - self.written_back >= WRITE_BACK_BYTES {
            self.written_back = self.bytes;
            self.write_back.nudge();
        }
        Ok(())
    }
}

/// A thread that syncs the file now and then while it grows.
struct WriteBack {
    nudges: Option<SyncSender<()>>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl WriteBack {
    fn start(file: &File) -> io::Result<Self> {
        let file = file.try_clone()?;
        let (nudges, queue) = sync_channel(1);
        let body = move || {
            while queue.recv().is_ok() {
                file.sync_data()?;
            }
            Ok(())
        };
        let thread = std::thread::Builder::new().name("write-back".into()).spawn(body)?;
        Ok(Self { nudges: Some(nudges), thread: Some(thread) })
    }

    fn nudge(&self) {
        if let Some(nudges) = &self.nudges {
            // Full: a sync is under way and another one queued.
            let _ = nudges.try_send(());
        }
    }

    /// An error of an early sync is reported by the kernel only once, so it must not be lost here.
    fn finish(&mut self) -> io::Result<()> {
        self.nudges = None;
        match self.thread.take().map(JoinHandle::join) {
            None | Some(Ok(Ok(()))) => Ok(()),
            Some(Ok(Err(e))) => Err(e),
            Some(Err(_)) => Err(io::Error::other("the write-back thread panicked")),
        }
    }
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
                    if pool.in_flight.len() >= self.max_in_flight {
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

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn pack(workers: usize, codec: Codec, parts: &[Vec<u8>]) -> (Vec<u8>, Vec<Frame>) {
        let dir = tempfile::tempdir().unwrap();
        let packing = Packing { codec, level: 3, workers };
        let mut writer = FrameWriter::create(dir.path(), "x", packing).unwrap();
        for part in parts {
            writer.write(part).unwrap();
            writer.cut(true).unwrap();
        }
        let done = writer.finish().unwrap();
        let frames = done.frames.clone();
        done.publish().unwrap();
        (std::fs::read(dir.path().join("x")).unwrap(), frames)
    }

    fn parts() -> Vec<Vec<u8>> {
        (0..7u8).map(|i| vec![i; 100_000 * usize::from(i)]).collect()
    }

    #[test]
    fn every_tool_reads_the_frames_as_one_stream() {
        let plain = parts().concat();
        let (packed, frames) = pack(2, Codec::Zstd, &parts());
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain);
        assert_eq!(frames.len(), 6);
        assert_eq!(frames.iter().map(|f| f.bytes).sum::<u64>(), packed.len() as u64);
        let (packed, _) = pack(2, Codec::Gzip, &parts());
        let mut back = Vec::new();
        flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
    }

    #[test]
    fn frames_do_not_depend_on_the_workers() {
        assert_eq!(pack(1, Codec::Zstd, &parts()), pack(4, Codec::Zstd, &parts()));
        let (packed, frames) = pack(0, Codec::Zstd, &parts());
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), parts().concat());
        assert_eq!(frames.len(), 6);
    }

    #[test]
    fn a_huge_row_is_cut_at_the_limit() {
        let (_, frames) = pack(0, Codec::Zstd, &[vec![7; 40 << 20]]);
        assert!(frames.iter().all(|f| f.plain_bytes <= MAX_FRAME_BYTES));
        assert_eq!(frames.iter().map(|f| f.aligned).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn rewinding_leaves_no_trace() {
        for workers in [0, 2] {
            let dir = tempfile::tempdir().unwrap();
            let packing = Packing { codec: Codec::Zstd, level: 3, workers };
            let mut writer = FrameWriter::create(dir.path(), "x", packing).unwrap();
            writer.write(b"kept ").unwrap();
            let mark = writer.mark().unwrap();
            writer.write(&vec![1; 20 << 20]).unwrap();
            writer.rewind(&mark).unwrap();
            writer.write(b"too").unwrap();
            let done = writer.finish().unwrap();
            let sha = done.sha256.clone();
            done.publish().unwrap();
            let packed = std::fs::read(dir.path().join("x")).unwrap();
            assert_eq!(zstd::decode_all(&packed[..]).unwrap(), b"kept too");
            assert_eq!(Sha::of(&packed), sha);
        }
    }
}
