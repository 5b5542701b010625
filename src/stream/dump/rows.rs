//! The rows of one COPY block, in COPY's text format: one line each, a line `\.` ends them.

use memchr::{memchr, memchr_iter};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{Boundary, DumpSyntax, Visitor};
use crate::model::contents::{LargeObjectLine, TableDigest, TableLine, TableName};

/// The line that ends a block. A row that is a backslash and a dot is written `\\.`, so it cannot be mistaken.
const END: &[u8] = b"\\.";

/// A COPY block that is being read.
pub(super) struct Block {
    table: TableName,
    columns: Vec<String>,
    offset: u64,
    bytes: u64,
    rows: u64,
    sum: u128,
    partial: Partial,
}

/// How far a piece was read.
pub(super) struct Read {
    pub(super) used: usize,
    pub(super) ended: bool,
}

/// A row that began in an earlier piece: its digest so far, for it may be too large to keep.
struct Partial {
    digest: Box<Xxh3>,
    head: [u8; 2],
    length: u64,
}

impl Partial {
    fn add(&mut self, bytes: &[u8]) {
        for (at, byte) in (self.length..2).zip(bytes) {
            self.head[usize::from(at == 1)] = *byte;
        }
        self.length += bytes.len() as u64;
        self.digest.update(bytes);
    }
}

impl Block {
    /// A block whose first row begins at `offset`.
    pub(super) fn new(table: TableName, columns: Vec<String>, offset: u64) -> Self {
        let partial = Partial { digest: Box::new(Xxh3::new()), head: [0; 2], length: 0 };
        Self { table, columns, offset, bytes: 0, rows: 0, sum: 0, partial }
    }

    pub(super) fn table(&self) -> &TableName {
        &self.table
    }

    /// Reads rows until the piece or the block ends; `base` is the piece's plain offset. This is the hot path.
    pub(super) fn read<V: Visitor>(&mut self, bytes: &[u8], base: u64, visitor: &mut V) -> Result<Read, V::Error> {
        let mut start = 0;
        let mut given = 0;
        let mut boundary = visitor.next_row_boundary();
        if self.partial.length > 0 {
            let Some(end) = memchr(b'\n', bytes) else {
                return self.keep_partial(bytes, 0, visitor);
            };
            self.partial.add(&bytes[..end]);
            start = end + 1;
            if self.end_partial() {
                visitor.bytes(&bytes[..start])?;
                return Ok(Read { used: start, ended: true });
            }
            boundary = pass_boundary(bytes, base, &mut given, start, boundary, visitor)?;
        }
        for end in memchr_iter(b'\n', &bytes[start..]).map(offset_by(start)) {
            let line = &bytes[start..end];
            start = end + 1;
            if line == END {
                visitor.bytes(&bytes[given..start])?;
                return Ok(Read { used: start, ended: true });
            }
            self.sum = self.sum.wrapping_add(xxh3_128(line));
            self.rows += 1;
            self.bytes += line.len() as u64 + 1;
            boundary = pass_boundary(bytes, base, &mut given, start, boundary, visitor)?;
        }
        self.keep_partial(&bytes[given..], start - given, visitor).map(|_| Read { used: bytes.len(), ended: false })
    }

    fn keep_partial<V: Visitor>(&mut self, bytes: &[u8], from: usize, visitor: &mut V) -> Result<Read, V::Error> {
        self.partial.add(&bytes[from..]);
        visitor.bytes(bytes)?;
        Ok(Read { used: bytes.len(), ended: false })
    }

    /// Counts the row that began earlier; `true` when it was the block's end.
    fn end_partial(&mut self) -> bool {
        let length = std::mem::take(&mut self.partial.length);
        let digest = self.partial.digest.digest128();
        self.partial.digest.reset();
        if length == 2 && self.partial.head == END {
            return true;
        }
        self.sum = self.sum.wrapping_add(digest);
        self.rows += 1;
        self.bytes += length + 1;
        false
    }

    pub(super) fn finish(self) -> TableLine {
        TableLine {
            table: self.table,
            columns: self.columns,
            content: TableDigest { rows: self.rows, digest: self.sum },
            offset: self.offset,
            bytes: self.bytes,
        }
    }
}

/// Count and digest of rows that a server sends: the same lines as in a dump, in pieces of any length.
pub struct RowDigester {
    block: Block,
    broken: bool,
}

/// Nobody looks on.
struct Nobody;

impl Visitor for Nobody {
    type Error = DumpSyntax;

    fn table(&mut self, _table: TableLine) -> Result<(), DumpSyntax> {
        Ok(())
    }

    fn large_object(&mut self, _object: LargeObjectLine) -> Result<(), DumpSyntax> {
        Ok(())
    }
}

impl Default for RowDigester {
    fn default() -> Self {
        let nameless = TableName { schema: String::new(), name: String::new() };
        Self { block: Block::new(nameless, Vec::new(), 0), broken: false }
    }
}

impl RowDigester {
    /// Reads the next piece.
    pub fn feed(&mut self, bytes: &[u8]) {
        // The line that ends a block is no row, and a server does not send it.
        self.broken |= !self.block.read(bytes, 0, &mut Nobody).is_ok_and(|read| !read.ended);
    }

    /// What was read; `None` where it was not whole rows.
    pub fn finish(self) -> Option<TableDigest> {
        let whole = !self.broken && self.block.partial.length == 0;
        whole.then(|| self.block.finish().content)
    }
}

fn offset_by(start: usize) -> impl Fn(usize) -> usize {
    move |at| at + start
}

/// Announces the end of a row where the visitor wants it; gives the next offset that it wants.
#[inline]
fn pass_boundary<V: Visitor>(
    bytes: &[u8],
    base: u64,
    given: &mut usize,
    end: usize,
    wanted: u64,
    visitor: &mut V,
) -> Result<u64, V::Error> {
    if base + (end as u64) < wanted {
        return Ok(wanted);
    }
    visitor.bytes(&bytes[*given..end])?;
    *given = end;
    visitor.boundary(Boundary::Row)?;
    Ok(visitor.next_row_boundary())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_rows_count_however_they_are_cut() {
        let rows = b"1\tone\n\n2\ttwo\\nlines\n";
        let sum =
            [&b"1\tone"[..], b"", b"2\ttwo\\nlines"].iter().fold(0_u128, |sum, row| sum.wrapping_add(xxh3_128(row)));
        for size in [1, 3, rows.len()] {
            let mut digester = RowDigester::default();
            rows.chunks(size).for_each(|piece| digester.feed(piece));
            assert_eq!(digester.finish(), Some(TableDigest { rows: 3, digest: sum }), "pieces of {size}");
        }
        for bad in [&b"1\n2"[..], b"\\.\n"] {
            let mut digester = RowDigester::default();
            digester.feed(bad);
            assert_eq!(digester.finish(), None);
        }
    }
}
