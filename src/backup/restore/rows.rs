//! The rows of single tables of a dump, as files that psql reads, without decoding the rest.

use std::{io::Write, path::Path};

use tokio_util::sync::CancellationToken;

use super::RestoreError;
use crate::{
    adapters::files::{self, AtomicFile, FileError},
    model::{
        contents::{ContentsKind, Line, TableLine, TableName},
        event::StepEvents,
        manifest::{Artifact, PostgresFacts},
    },
    stream::{
        StreamError,
        contents::ContentsReader,
        decode::{self, RangeReader},
        dump::RowDigester,
    },
};

/// A table that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrittenRows {
    /// The table.
    pub table: TableName,
    /// The file.
    pub file: String,
    /// Its rows.
    pub rows: u64,
    /// Bytes of the rows.
    pub bytes: u64,
}

/// The chosen tables of a dump, in its order.
///
/// # Errors
/// [`RestoreError::NoTable`] with the nearest names where one is not in the dump.
pub fn find(set: &Path, artifact: &Artifact, tables: &[String]) -> Result<Vec<TableLine>, RestoreError> {
    let contents = set.join(&artifact.contents.file);
    let list = ContentsReader::open(&contents)?;
    if list.kind != ContentsKind::PostgresDump {
        return Err(StreamError::damaged(&contents, "is not the list of a dump").into());
    }
    let (mut found, mut names) = (Vec::new(), Vec::new());
    for line in list {
        if let Line::Table(table) = line? {
            let name = table.table.to_string();
            if tables.contains(&name) {
                found.push(table);
            }
            names.push(name);
        }
    }
    match tables.iter().find(|wanted| !names.contains(wanted)) {
        None => Ok(found),
        Some(missing) => {
            names.sort_by_key(|name| strsim::levenshtein(name, missing));
            names.truncate(3);
            Err(RestoreError::NoTable { name: missing.clone(), nearest: names })
        }
    }
}

/// Writes each table's rows into a file of its own below `into`, compared with what was captured. Nothing that is there
/// is overwritten; a file that could not be finished is gone. Blocking.
///
/// # Errors
/// When a table is missing or its rows differ, a file is there already or cannot be written, or `cancel` fired.
pub fn write(
    set: &Path,
    (artifact, facts): (&Artifact, &PostgresFacts),
    tables: &[String],
    into: &Path,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Vec<WrittenRows>, RestoreError> {
    let lines = find(set, artifact, tables)?;
    let (codec, frames) = decode::frames(&set.join(&artifact.contents.file))?;
    let packed = set.join(&artifact.packed.file);
    let mut reader = RangeReader::open(&packed, codec, frames.into())?;
    files::create_private_dir(into)?;
    let mut written = Vec::new();
    for line in lines {
        let file = file_name(&line.table);
        if into.join(&file).exists() {
            return Err(RestoreError::TargetNotEmpty { path: into.join(&file), leftover: None });
        }
        let mut out = AtomicFile::create(into, &file)?;
        let tell = |done| {
            events.progress(done, Some(line.bytes), format!("writing {}", line.table));
            if cancel.is_cancelled() { Err(StreamError::Cancelled) } else { Ok(()) }
        };
        one(&mut reader, (&line, facts), &mut out, &packed, tell)?;
        out.finish()?;
        written.push(WrittenRows { table: line.table, file, rows: line.content.rows, bytes: line.bytes });
    }
    Ok(written)
}

/// A slash in a name is no directory.
fn file_name(table: &TableName) -> String {
    let part = |name: &str| name.replace('%', "%25").replace('/', "%2F").replace('\0', "%00");
    format!("{}.{}.sql", part(&table.schema), part(&table.name))
}

fn one(
    reader: &mut RangeReader,
    (line, facts): (&TableLine, &PostgresFacts),
    out: &mut AtomicFile,
    packed: &Path,
    tell: impl Fn(u64) -> Result<(), StreamError>,
) -> Result<(), RestoreError> {
    let target = out.target().to_owned();
    let put = |bytes: &[u8]| out.file().write_all(bytes).map_err(|e| FileError::new("writing", &target, e));
    put(format!(
        "-- The rows of {} of the database {} as they were captured.\n\
         -- Read them with: psql -X -v ON_ERROR_STOP=1 -d <database> -f <this file>\n\
         SET client_encoding = '{}';\nSET standard_conforming_strings = on;\nSET DateStyle = 'ISO';\n\
         COPY {} FROM stdin;\n",
        line.table.to_string().replace(['\n', '\r'], " "),
        facts.database.replace(['\n', '\r'], " "),
        facts.dump_encoding,
        line.copy_target(),
    )
    .as_bytes())?;
    let (mut at, end) = (line.offset, line.offset + line.bytes);
    let mut digester = RowDigester::default();
    while at < end {
        let piece = reader.read(at, end)?;
        digester.feed(piece);
        put(piece)?;
        at += piece.len() as u64;
        tell(at - line.offset)?;
    }
    put(b"\\.\n")?;
    if digester.finish() != Some(line.content) {
        let problem = format!("the rows of {} are not those that were captured", line.table);
        return Err(StreamError::damaged(packed, problem).into());
    }
    Ok(())
}
