//! Carries `pg_dump`'s output into the artifact in one pass, in one thread: read, count and digest, pack, hash, write.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::OwnedFd,
    time::Duration,
};

use super::error::DumpError;
use crate::{
    adapters::clock,
    model::{
        contents::{LargeObjectLine, Line, TableLine, TableName},
        event::StepEvents,
    },
    stream::{
        StreamError,
        artifact::ArtifactWriter,
        dump::{Boundary, DumpReader, DumpSummary, DumpSyntax, Visitor},
        frames::TARGET_FRAME_BYTES,
    },
};

/// Large enough that a system call costs nothing, small enough to stay in a core's cache while it is read and packed.
const PIECE_BYTES: usize = 256 << 10;
/// A table begins a frame of its own when the frame before it holds this much.
const TABLE_FRAME_BYTES: u64 = 1 << 20;
/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What the pump gives back: the artifact, still unfinished, and what went into it.
pub(super) struct Pumped {
    pub(super) writer: ArtifactWriter,
    /// Every table with its rows.
    pub(super) tables: Vec<(TableName, u64)>,
    pub(super) summary: DumpSummary,
}

/// Why the pump stopped.
#[derive(Debug)]
pub(super) enum PumpError {
    /// The dump is not as expected: the source is to blame.
    Syntax(DumpSyntax),
    /// The stream ended before the dump did; how its source ended says why.
    CutOff(DumpSyntax),
    /// The artifact could not be written, or the pipe not read.
    Stream(StreamError),
    /// The thread panicked.
    Panicked,
}

impl From<DumpSyntax> for PumpError {
    fn from(error: DumpSyntax) -> Self {
        Self::Syntax(error)
    }
}

impl From<StreamError> for PumpError {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

impl PumpError {
    /// As the error of a database's dump.
    pub(super) fn of(self, database: &str) -> DumpError {
        match self {
            Self::Syntax(source) | Self::CutOff(source) => DumpError::Syntax { database: database.to_owned(), source },
            Self::Stream(error) => error.into(),
            Self::Panicked => DumpError::Thread { database: database.to_owned() },
        }
    }
}

/// Packs what the reader passes on, and cuts frames where it may.
struct Packer {
    writer: ArtifactWriter,
    tables: Vec<(TableName, u64)>,
}

impl Visitor for Packer {
    type Error = PumpError;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), PumpError> {
        Ok(self.writer.write(bytes)?)
    }

    fn next_row_boundary(&self) -> u64 {
        self.writer.plain_offset() - self.writer.frame_bytes() + TARGET_FRAME_BYTES
    }

    fn boundary(&mut self, boundary: Boundary) -> Result<(), PumpError> {
        let least = match boundary {
            Boundary::Row => TARGET_FRAME_BYTES,
            Boundary::TableStart | Boundary::TableEnd | Boundary::LargeObjectEnd => TABLE_FRAME_BYTES,
        };
        Ok(self.writer.cut_if(least)?)
    }

    fn table(&mut self, table: TableLine) -> Result<(), PumpError> {
        self.tables.push((table.table.clone(), table.content.rows));
        Ok(self.writer.record(&Line::Table(table))?)
    }

    fn large_object(&mut self, object: LargeObjectLine) -> Result<(), PumpError> {
        Ok(self.writer.record(&Line::LargeObject(object))?)
    }
}

/// Reads `source` to its end. `began` is called once, with the first bytes. Blocking.
///
/// # Errors
/// When the stream is no whole dump, or the artifact cannot be written; its files are gone then.
pub(super) fn run(
    source: OwnedFd,
    writer: ArtifactWriter,
    began: impl FnOnce(),
    progress: &Progress<'_>,
) -> Result<Pumped, PumpError> {
    let mut source = File::from(source);
    let mut piece = vec![0; PIECE_BYTES];
    let mut reader = DumpReader::new();
    let mut packer = Packer { writer, tables: Vec::new() };
    let mut began = Some(began);
    let mut told = clock::monotonic();
    loop {
        let length = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => {
                let name = packer.writer.name().to_owned();
                return Err(StreamError::Pack { name, source }.into());
            }
        };
        if let Some(began) = began.take() {
            began();
        }
        reader.feed(&piece[..length], &mut packer)?;
        if told.elapsed() >= PROGRESS_EVERY {
            told = clock::monotonic();
            progress.tell(reader.offset());
        }
    }
    progress.tell(reader.offset());
    let summary = reader.finish().map_err(PumpError::CutOff)?;
    Ok(Pumped { writer: packer.writer, tables: packer.tables, summary })
}

/// Tells how far a dump is.
pub(super) struct Progress<'a> {
    pub(super) events: &'a StepEvents,
    pub(super) database: &'a str,
    pub(super) total: Option<u64>,
}

impl Progress<'_> {
    fn tell(&self, done: u64) {
        self.events.progress(done, self.total, format!("dumping {}", self.database));
    }
}
