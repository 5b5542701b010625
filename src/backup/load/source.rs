//! A captured dump as a load sees it: which tables, and where their rows are.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{LoadError, LoadOptions};
use crate::{
    model::contents::{Codec, ContentsKind, Frame, Line, TableLine},
    stream::{
        StreamError,
        contents::ContentsReader,
        decode::{self, RangeReader},
    },
};

/// The line that ends a COPY block.
pub(super) const BLOCK_END: &[u8] = b"\\.\n";

/// An artifact with its contents list.
#[derive(Debug, Clone)]
pub struct DumpFiles {
    /// The packed SQL.
    pub artifact: PathBuf,
    /// Its contents list, which also says how it is packed.
    pub contents: PathBuf,
}

/// What the contents list says.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    codec: Codec,
    pub(super) frames: Arc<[Frame]>,
    /// In the dump's order.
    pub(super) tables: Vec<Arc<TableLine>>,
    pub(super) plain_bytes: u64,
}

impl Source {
    /// Reads the contents list. Blocking.
    pub(super) fn open(files: &DumpFiles, kind: ContentsKind) -> Result<Self, StreamError> {
        let (codec, frames) = decode::frames(&files.contents)?;
        let plain_bytes = frames.last().map_or(0, |frame| frame.plain_offset + frame.plain_bytes);
        let tables = tables(&files.contents, kind)?;
        let mut end = 0;
        for table in &tables {
            if table.offset < end || table.offset.saturating_add(table.bytes) > plain_bytes {
                let problem = format!("the rows of {} are not where they can be", table.table);
                return Err(StreamError::damaged(&files.contents, problem));
            }
            end = table.offset + table.bytes;
        }
        Ok(Self { path: files.artifact.clone(), codec, frames: frames.into(), tables, plain_bytes })
    }

    pub(super) fn reader(&self) -> Result<RangeReader, StreamError> {
        RangeReader::open(&self.path, self.codec, self.frames.clone())
    }

    /// Bytes of the rows that are wanted.
    pub(super) fn row_bytes(&self, options: &LoadOptions<'_>) -> u64 {
        self.tables.iter().filter(|table| options.wants(&table.table)).map(|table| table.bytes).sum()
    }
}

/// Every table of a contents list, in the dump's order. Blocking.
pub(super) fn tables(contents: &Path, kind: ContentsKind) -> Result<Vec<Arc<TableLine>>, StreamError> {
    let lines = ContentsReader::open(contents)?;
    if lines.kind != kind {
        return Err(StreamError::damaged(contents, "is of another kind"));
    }
    let mut tables = Vec::new();
    for line in lines {
        if let Line::Table(table) = line? {
            tables.push(Arc::new(table));
        }
    }
    Ok(tables)
}

/// Runs what blocks in a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, LoadError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| LoadError::Thread { path: path.to_owned() })
}
