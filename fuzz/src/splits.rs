//! The property that the fuzz target and the test suite share: pieces do not matter.

use maint::{
    model::contents::{LargeObjectLine, TableLine},
    stream::dump::{DumpReader, DumpSummary, DumpSyntax, Splitter, Sql, Visitor, kind},
};

#[derive(Debug, Default, PartialEq)]
struct Told {
    bytes: u64,
    tables: Vec<TableLine>,
    objects: Vec<LargeObjectLine>,
}

impl Visitor for Told {
    type Error = DumpSyntax;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DumpSyntax> {
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn table(&mut self, table: TableLine) -> Result<(), DumpSyntax> {
        self.tables.push(table);
        Ok(())
    }

    fn large_object(&mut self, object: LargeObjectLine) -> Result<(), DumpSyntax> {
        self.objects.push(object);
        Ok(())
    }
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<DumpSummary, String>, Told) {
    let mut told = Told::default();
    let mut reader = DumpReader::new();
    for piece in pieces {
        if let Err(error) = reader.feed(piece, &mut told) {
            return (Err(error.problem), told);
        }
    }
    (reader.finish().map_err(|error| error.problem), told)
}

/// What a restore would execute.
fn split<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<(), String>, Vec<Sql>) {
    let (mut splitter, mut found) = (Splitter::default(), Vec::new());
    for piece in pieces {
        let fed = splitter.feed(piece, &mut |sql| {
            if let Sql::Statement(statement) = &sql {
                kind::of(&statement.text);
            }
            found.push(sql);
            Ok::<(), DumpSyntax>(())
        });
        if let Err(error) = fed {
            return (Err(error.problem), found);
        }
    }
    (splitter.finish().map_err(|error| error.problem), found)
}

/// Panics when the answer of the reader, or of the splitter, depends on where the pieces of the stream end.
///
/// # Panics
/// See above.
pub fn same_in_any_pieces(bytes: &[u8], sizes: &[u8]) {
    let (whole, told) = read(std::iter::once(bytes));
    let pieces = || {
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        std::iter::from_fn(move || {
            let size = sizes.next().map_or(rest.len(), |s| usize::from((*s).max(1))).min(rest.len());
            let (piece, after) = rest.split_at(size);
            rest = after;
            (!piece.is_empty()).then_some(piece)
        })
    };
    let (in_pieces, split_told) = read(pieces());
    assert_eq!(whole, in_pieces, "the verdict depends on the pieces");
    assert_eq!((&told.tables, &told.objects), (&split_told.tables, &split_told.objects));
    if let Ok(summary) = whole {
        assert_eq!((told.bytes, split_told.bytes), (summary.plain_bytes, summary.plain_bytes));
    }
    assert_eq!(split(std::iter::once(bytes)), split(pieces()), "the statements depend on the pieces");
}
