//! A dump's SQL read around its rows, in a thread of its own: statements and tables in the dump's order.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::{
    LoadError,
    source::{BLOCK_END, Source},
};
use crate::{
    model::contents::TableLine,
    stream::{
        StreamError,
        decode::RangeReader,
        dump::{DumpSyntax, Splitter, Sql, SqlStatement},
    },
};

/// How many items are read ahead; a statement may be long.
const AHEAD: usize = 4;

/// What comes next in a dump.
#[derive(Debug)]
pub(super) enum Item {
    Statement(SqlStatement),
    Rows(Arc<TableLine>),
}

enum Stop {
    Stream(StreamError),
    Syntax(DumpSyntax),
    /// Nobody listens any more.
    Deaf,
}

impl From<DumpSyntax> for Stop {
    fn from(error: DumpSyntax) -> Self {
        Self::Syntax(error)
    }
}

impl From<StreamError> for Stop {
    fn from(error: StreamError) -> Self {
        Self::Stream(error)
    }
}

/// Starts reading; the items end with the dump, or with the first error.
pub(super) fn read(source: &Arc<Source>) -> mpsc::Receiver<Result<Item, LoadError>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    let source = source.clone();
    tokio::task::spawn_blocking(move || {
        let stopped = run(&source, &sender).err();
        let error = match stopped {
            None | Some(Stop::Deaf) => return,
            Some(Stop::Stream(error)) => error.into(),
            Some(Stop::Syntax(error)) => LoadError::Syntax { path: source.path.clone(), source: error },
        };
        // Nobody listens any more: then nobody wants the error.
        let _ = sender.blocking_send(Err(error));
    });
    receiver
}

fn run(source: &Source, sender: &mpsc::Sender<Result<Item, LoadError>>) -> Result<(), Stop> {
    let send = |item| sender.blocking_send(Ok(item)).map_err(|_| Stop::Deaf);
    let mut reader = source.reader()?;
    let mut splitter = Splitter::default();
    let mut at = 0;
    for table in &source.tables {
        let mut named = false;
        feed(&mut reader, &mut splitter, (at, table.offset), &mut |sql| match sql {
            Sql::Statement(statement) => send(Item::Statement(statement)),
            Sql::Rows(found) => {
                named = found == table.table;
                Ok(())
            }
        })?;
        if !named || !splitter.at_rows() {
            let problem = format!("the rows of {} are not where the contents list says", table.table);
            return Err(Stop::Syntax(DumpSyntax { offset: table.offset, problem }));
        }
        at = past_rows(&mut reader, table)?;
        splitter.go_on_at(at);
        send(Item::Rows(table.clone()))?;
    }
    feed(&mut reader, &mut splitter, (at, source.plain_bytes), &mut |sql| match sql {
        Sql::Statement(statement) => send(Item::Statement(statement)),
        Sql::Rows(table) => {
            let problem = format!("the rows of {table} are not in the contents list");
            Err(Stop::Syntax(DumpSyntax { offset: at, problem }))
        }
    })?;
    Ok(splitter.finish()?)
}

fn feed(
    reader: &mut RangeReader,
    splitter: &mut Splitter,
    (mut at, to): (u64, u64),
    take: &mut dyn FnMut(Sql) -> Result<(), Stop>,
) -> Result<(), Stop> {
    while at < to {
        let piece = reader.read(at, to)?;
        at += piece.len() as u64;
        splitter.feed(piece, take)?;
    }
    Ok(())
}

/// Where the SQL goes on: after the line that ends the table's rows.
fn past_rows(reader: &mut RangeReader, table: &TableLine) -> Result<u64, Stop> {
    let end = table.offset + table.bytes;
    let to = end + BLOCK_END.len() as u64;
    let mut line = Vec::new();
    while line.len() < BLOCK_END.len() {
        line.extend_from_slice(reader.read(end + line.len() as u64, to)?);
    }
    if line == BLOCK_END {
        return Ok(to);
    }
    let problem = format!("the rows of {} do not end where the contents list says", table.table);
    Err(Stop::Syntax(DumpSyntax { offset: end, problem }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        backup::load::DumpFiles,
        model::contents::{Codec, ContentsKind, Line, TableDigest, TableName},
        stream::{
            artifact::{ArtifactWriter, SourceEnd},
            frames::Packing,
        },
    };

    const TEXT: &[u8] = b"SELECT 1;\nCOPY public.t (a) FROM stdin;\n1\n2\n\\.\n\nSELECT 2;\n";

    async fn items(change: impl FnOnce(&mut TableLine)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let packing = Packing { codec: Codec::Gzip, level: 1, workers: 0 };
        let mut writer = ArtifactWriter::create(dir.path(), "a.sql.gz", ContentsKind::PostgresDump, packing).unwrap();
        writer.write(TEXT).unwrap();
        let mut table = TableLine {
            table: TableName { schema: "public".into(), name: "t".into() },
            columns: vec!["a".into()],
            content: TableDigest { rows: 2, digest: 0 },
            offset: 40,
            bytes: 4,
        };
        change(&mut table);
        writer.record(&Line::Table(table)).unwrap();
        let packed = writer.finish(SourceEnd::ReadToEnd).unwrap();
        let files = DumpFiles {
            artifact: dir.path().join(&packed.packed.file),
            contents: dir.path().join(&packed.contents.file),
        };
        let source = Arc::new(Source::open(&files, ContentsKind::PostgresDump).unwrap());
        let mut items = read(&source);
        let mut found = Vec::new();
        while let Some(item) = items.recv().await {
            found.push(match item {
                Ok(Item::Statement(s)) => String::from_utf8(s.text).unwrap(),
                Ok(Item::Rows(table)) => table.table.to_string(),
                Err(e) => crate::model::failure::chain(&e),
            });
        }
        found
    }

    #[tokio::test]
    async fn rows_are_passed_and_must_be_where_the_list_says() {
        assert_eq!(items(|_| {}).await, ["SELECT 1", "public.t", "SELECT 2"]);
        for (change, said) in [
            (Box::new(|t: &mut TableLine| t.offset += 2) as Box<dyn FnOnce(&mut TableLine)>, "rows where the contents"),
            (Box::new(|t: &mut TableLine| t.offset -= 2), "not where the contents list says"),
            (Box::new(|t: &mut TableLine| t.bytes -= 2), "do not end where"),
            (Box::new(|t: &mut TableLine| t.table.name = "u".into()), "not where the contents list says"),
        ] {
            let found = items(change).await;
            assert!(found.last().unwrap().contains(said), "{found:?}");
        }
    }
}
