//! Packs whole frames in worker threads; they come back in order.

use std::{
    collections::VecDeque,
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use zstd::{stream::raw::CParameter, zstd_safe};

use super::{MAX_WORKERS, Packing, sink::Sink};
use crate::{
    model::contents::{Codec, Frame},
    stream::StreamError,
};

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
pub(super) struct Pool {
    work: Option<SyncSender<Work>>,
    threads: Vec<JoinHandle<()>>,
    in_flight: VecDeque<InFlight>,
    /// The frame that is being filled.
    pub(super) current: Vec<u8>,
    spare: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Pool {
    pub(super) fn new(packing: Packing) -> io::Result<Self> {
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

    pub(super) fn submit(&mut self, plain_offset: u64, aligned: bool) -> io::Result<()> {
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

    pub(super) fn collect(&mut self, sink: &mut Sink) -> Result<(), StreamError> {
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

    pub(super) fn drain(&mut self, sink: &mut Sink) -> Result<(), StreamError> {
        while !self.in_flight.is_empty() {
            self.collect(sink)?;
        }
        Ok(())
    }
}

impl Pool {
    /// Frames that are being packed.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.len()
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
