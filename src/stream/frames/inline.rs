//! Packs zstd frames in the calling thread, as bytes come.

use std::io;

use zstd::{
    stream::raw::{CParameter, Encoder, InBuffer, Operation, OutBuffer},
    zstd_safe,
};

use super::sink::Sink;
use crate::{model::contents::Frame, stream::StreamError};

/// A window of 4 MiB, as large as a frame. In a smaller one zstd's ring of input wraps inside the frame, and searching
/// across the seam costs a tenth of the time (docs/performance.md).
const WINDOW_LOG: u32 = super::TARGET_FRAME_BYTES.ilog2();

/// Packs zstd frames in the calling thread as bytes come.
pub(super) struct Inline {
    encoder: Encoder<'static>,
    out: Vec<u8>,
    /// Where the current frame begins in the packed file.
    pub(super) frame_offset: u64,
}

impl Inline {
    pub(super) fn new(level: i32) -> io::Result<Self> {
        let mut encoder = Encoder::new(level)?;
        encoder.set_parameter(CParameter::ChecksumFlag(true))?;
        encoder.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self { encoder, out: vec![0; zstd_safe::CCtx::out_size()], frame_offset: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8], sink: &mut Sink) -> Result<(), StreamError> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            let mut output = OutBuffer::around(&mut self.out[..]);
            self.encoder.run(&mut input, &mut output).map_err(|e| sink.pack_error(e))?;
            let length = output.pos();
            sink.write(&self.out[..length])?;
        }
        Ok(())
    }

    pub(super) fn end(
        &mut self,
        plain_offset: u64,
        plain_bytes: u64,
        aligned: bool,
        sink: &mut Sink,
    ) -> Result<(), StreamError> {
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
