//! A part of a file on its way: read in pieces by a thread, hashed again as it is handed out, in bounded memory.

use std::{
    io::{self, SeekFrom},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{checksum::Sum, request::Pulse};
use crate::{
    adapters::store::work::{CHUNK, Source},
    model::parts::Part,
};

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// Set when what was read for sending was not what had been hashed: the file changed in between.
#[derive(Debug, Clone, Default)]
pub(super) struct Differs(Arc<AtomicBool>);

impl Differs {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

struct PartBody {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
    pulse: Pulse,
}

impl Body for PartBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.pieces.poll_recv(cx).map(|piece| {
            let piece = piece?;
            self.pulse.beat();
            if let Ok(bytes) = &piece {
                self.left = self.left.saturating_sub(bytes.len() as u64);
            }
            Some(piece.map(Frame::data))
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of a part whose digest is known. The last piece is handed out only when all of them had that digest, so that
/// the server never has the whole of anything else.
pub(super) fn of(source: &Source, part: Part, sum: Sum, pulse: &Pulse, differs: &Differs) -> ByteStream {
    let (tell, pieces) = mpsc::channel(AHEAD);
    let (source, differs) = (source.clone(), differs.clone());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = hand_out(&source, part, sum, &differs, &tell) {
            // Nobody listens any more where the request was given up.
            let _ = tell.blocking_send(Err(error));
        }
    });
    ByteStream::new(SdkBody::from_body_1_x(PartBody { pieces, left: part.bytes, pulse: pulse.clone() }))
}

fn hand_out(
    source: &Source,
    part: Part,
    sum: Sum,
    differs: &Differs,
    tell: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut input = source.open().map_err(io::Error::other)?;
    input.seek(SeekFrom::Start(part.offset))?;
    let (mut sha, mut left) = (Sha256::new(), part.bytes);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut piece = vec![0; length];
        if let Err(error) = input.read_exact(&mut piece) {
            differs.0.store(error.kind() == io::ErrorKind::UnexpectedEof, Ordering::Relaxed);
            return Err(error);
        }
        sha.update(&piece);
        left -= length as u64;
        if left == 0 && sha.finalize_reset().as_slice() != sum {
            differs.0.store(true, Ordering::Relaxed);
            return Err(io::Error::other("the file changed while it was sent"));
        }
        if tell.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
