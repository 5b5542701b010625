//! A part of a file on its way: read in pieces by a thread, hashed again as it is handed out, in bounded memory.

use std::{
    io::{self, SeekFrom},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{checksum::Sum, request::Pulse};
use crate::{
    adapters::{
        files::FileError,
        store::{
            StoreError,
            work::{CHUNK, Source},
        },
    },
    model::parts::Part,
};

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// Why the file could not be sent, where it was the file's fault: it cannot be read, or is not what had been hashed.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<StoreError>>>);

impl Trouble {
    /// What it was, once.
    pub(super) fn take(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: StoreError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
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
pub(super) fn of(source: &Source, part: Part, sum: Sum, pulse: &Pulse, trouble: &Trouble) -> ByteStream {
    let (tell, pieces) = mpsc::channel(AHEAD);
    let (source, trouble) = (source.clone(), trouble.clone());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = hand_out(&source, part, sum, &tell) {
            trouble.note(error);
            // Nobody listens any more where the request was given up.
            let _ = tell.blocking_send(Err(io::Error::other("the file cannot be sent")));
        }
    });
    ByteStream::new(SdkBody::from_body_1_x(PartBody { pieces, left: part.bytes, pulse: pulse.clone() }))
}

fn hand_out(source: &Source, part: Part, sum: Sum, tell: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), StoreError> {
    let differs = |what: &str| StoreError::Source { path: source.path().to_owned(), what: what.to_owned() };
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::UnexpectedEof => differs("it is shorter than it was"),
        _ => FileError::new("reading", source.path(), e).into(),
    };
    let mut input = source.open()?;
    input.seek(SeekFrom::Start(part.offset)).map_err(failed)?;
    let (mut sha, mut left) = (Sha256::new(), part.bytes);
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let mut piece = vec![0; length];
        input.read_exact(&mut piece).map_err(failed)?;
        sha.update(&piece);
        left -= length as u64;
        if left == 0 && sha.finalize_reset().as_slice() != sum {
            return Err(differs("its content differs"));
        }
        if tell.blocking_send(Ok(piece.into())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
