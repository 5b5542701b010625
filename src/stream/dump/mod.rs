//! Reads `pg_dump`'s plain SQL as it streams by: which tables, rows and large objects are in it, and whether it is whole.
//!
//! The same reader counts while a dump is written and again when it is verified. It knows SQL's lexical rules
//! ([`lexer`]), so that text inside a string, a function body or a comment never looks like data, and COPY's text
//! format ([`rows`]). Memory does not depend on the size of rows, tables or large objects.

pub mod kind;
mod large_object;
mod lexer;
mod rows;
mod statement;
mod statements;
mod words;

use large_object::OpenObject;
use lexer::{Lexed, Lexer};
use rows::Block;
pub use rows::RowDigester;
use statement::Statement;
pub use statements::{Splitter, Sql, SqlStatement};

use crate::model::contents::{LargeObjectLine, TableLine, TableName};

/// A comment line at the end of every dump of a database (`RestoreArchive` in PostgreSQL's pg_backup_archiver.c).
const DUMP_COMPLETE: &[u8] = b"-- PostgreSQL database dump complete";
/// The same of `pg_dumpall`.
const CLUSTER_DUMP_COMPLETE: &[u8] = b"-- PostgreSQL database cluster dump complete";

/// What is wrong with a dump, and where in the plain stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the dump is not as pg_dump writes it: {problem} (near byte {offset})")]
pub struct DumpSyntax {
    /// Near which byte of the plain stream.
    pub offset: u64,
    /// What was found or missed.
    pub problem: String,
}

/// A place in the plain stream where a frame may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Before the first row of a COPY block.
    TableStart,
    /// After a row.
    Row,
    /// After the closing `\.` line.
    TableEnd,
    /// After the statement that closes a large object.
    LargeObjectEnd,
}

/// Who looks on while a dump is read. Calls come in stream order: the bytes up to a boundary, then the boundary.
pub trait Visitor {
    /// What stops the reading.
    type Error: From<DumpSyntax>;

    /// The plain stream itself, piece by piece, every byte once.
    ///
    /// # Errors
    /// Whatever stops the reading.
    fn bytes(&mut self, _bytes: &[u8]) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The plain offset from which on the end of a row is worth a [`Boundary::Row`]; rows before it pass unannounced.
    fn next_row_boundary(&self) -> u64 {
        u64::MAX
    }

    /// A place where a frame may end.
    ///
    /// # Errors
    /// Whatever stops the reading.
    fn boundary(&mut self, _boundary: Boundary) -> Result<(), Self::Error> {
        Ok(())
    }

    /// A table's data was read to its end.
    ///
    /// # Errors
    /// Whatever stops the reading.
    fn table(&mut self, table: TableLine) -> Result<(), Self::Error>;

    /// A large object was read to its end.
    ///
    /// # Errors
    /// Whatever stops the reading.
    fn large_object(&mut self, object: LargeObjectLine) -> Result<(), Self::Error>;
}

/// What a whole dump holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DumpSummary {
    /// COPY blocks.
    pub tables: u64,
    /// Rows in them.
    pub rows: u64,
    /// Large objects with their data.
    pub large_objects: u64,
    /// Length of the plain stream.
    pub plain_bytes: u64,
}

/// A push parser of plain SQL dumps: [`feed`](Self::feed) it the stream in pieces of any size, then
/// [`finish`](Self::finish).
pub struct DumpReader {
    complete_line: &'static [u8],
    offset: u64,
    lexer: Lexer,
    block: Option<Block>,
    next_block: Option<(TableName, Vec<String>)>,
    object: Option<OpenObject>,
    restrict_key: Option<Vec<u8>>,
    restricted: bool,
    complete: bool,
    summary: DumpSummary,
}

impl Default for DumpReader {
    fn default() -> Self {
        Self::new()
    }
}

impl DumpReader {
    /// A reader of `pg_dump`'s output for one database.
    pub fn new() -> Self {
        Self::ending_with(DUMP_COMPLETE)
    }

    /// A reader of `pg_dumpall --globals-only`'s output.
    pub fn globals() -> Self {
        Self::ending_with(CLUSTER_DUMP_COMPLETE)
    }

    fn ending_with(complete_line: &'static [u8]) -> Self {
        Self {
            complete_line,
            offset: 0,
            lexer: Lexer::new(),
            block: None,
            next_block: None,
            object: None,
            restrict_key: None,
            restricted: false,
            complete: false,
            summary: DumpSummary::default(),
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next piece of the stream.
    ///
    /// # Errors
    /// When the dump is not as `pg_dump` writes it, or the visitor stops; the reader is of no use then.
    pub fn feed<V: Visitor>(&mut self, mut bytes: &[u8], visitor: &mut V) -> Result<(), V::Error> {
        while !bytes.is_empty() {
            let used = match &mut self.block {
                Some(block) => {
                    let read = block.read(bytes, self.offset, visitor)?;
                    self.offset += read.used as u64;
                    if read.ended {
                        self.end_block(visitor)?;
                    }
                    read.used
                }
                None => self.read_sql(bytes, visitor)?,
            };
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn end_block<V: Visitor>(&mut self, visitor: &mut V) -> Result<(), V::Error> {
        if let Some(block) = self.block.take() {
            let line = block.finish();
            self.summary.tables += 1;
            self.summary.rows += line.content.rows;
            visitor.boundary(Boundary::TableEnd)?;
            visitor.table(line)?;
        }
        Ok(())
    }

    /// Reads SQL until the piece ends or a COPY block begins.
    fn read_sql<V: Visitor>(&mut self, bytes: &[u8], visitor: &mut V) -> Result<usize, V::Error> {
        let (mut used, mut given) = (0, 0);
        while used < bytes.len() {
            let (more, lexed) = self.lexer.read(&bytes[used..]);
            used += more;
            self.offset += more as u64;
            match lexed {
                Lexed::More => {}
                Lexed::Statement => {
                    if let Some(object) = self.statement()? {
                        visitor.bytes(&bytes[given..used])?;
                        given = used;
                        visitor.boundary(Boundary::LargeObjectEnd)?;
                        visitor.large_object(object)?;
                    }
                }
                Lexed::Comment => self.comment(),
                Lexed::Meta => self.meta()?,
                Lexed::Data => {
                    visitor.bytes(&bytes[given..used])?;
                    let next = self.next_block.take();
                    self.block = next.map(|(table, columns)| Block::new(table, columns, self.offset));
                    visitor.boundary(Boundary::TableStart)?;
                    return Ok(used);
                }
                Lexed::Refused(problem) => return Err(self.syntax(problem).into()),
            }
        }
        visitor.bytes(&bytes[given..])?;
        Ok(used)
    }

    /// Looks at a statement that just ended; gives a large object that it closed.
    fn statement(&mut self) -> Result<Option<LargeObjectLine>, DumpSyntax> {
        if self.complete {
            return Err(self.syntax("a statement after its end"));
        }
        let statement = statement::parse(self.lexer.text(), self.lexer.is_cut_off());
        let mut closed = None;
        match statement.map_err(|problem| self.syntax(problem))? {
            Statement::Other => {}
            Statement::StandardStrings(on) => self.lexer.set_standard_strings(on),
            Statement::Copy { table, columns } => {
                self.next_block = Some((table, columns));
                self.lexer.expect_data();
            }
            Statement::LargeObjectOpen(oid) => {
                if self.object.is_some() {
                    return Err(self.syntax(format!("large object {oid} begins inside another one")));
                }
                self.object = Some(OpenObject::new(oid));
            }
            Statement::LargeObjectWrite(hex) => {
                let written = self.object.as_mut().is_some_and(|object| object.write(hex));
                if !written {
                    return Err(self.syntax("a piece of a large object that cannot be read"));
                }
            }
            Statement::LargeObjectClose => {
                let Some(object) = self.object.take() else {
                    return Err(self.syntax("a large object ends that never began"));
                };
                self.summary.large_objects += 1;
                closed = Some(object.finish());
            }
        }
        self.lexer.next_statement();
        Ok(closed)
    }

    fn comment(&mut self) {
        if self.lexer.comment() == self.complete_line {
            self.complete = true;
        }
    }

    /// `\restrict KEY` may come once, before everything else; `\unrestrict KEY` once, with the same key, after it.
    fn meta(&mut self) -> Result<(), DumpSyntax> {
        let line = self.lexer.comment();
        let refused = if let Some(key) = line.strip_prefix(b"\\restrict ") {
            let again = self.restrict_key.is_some();
            if again { Some("\\restrict a second time") } else { self.restrict(key.to_vec()) }
        } else if let Some(key) = line.strip_prefix(b"\\unrestrict ") {
            // pg_dumpall writes it before its last line, pg_dump after it.
            let in_place = self.complete == (self.complete_line == DUMP_COMPLETE);
            let fits = self.restricted && self.restrict_key.as_deref() == Some(key) && in_place;
            self.restricted = false;
            if fits { None } else { Some("\\unrestrict in the wrong place or with another key") }
        } else {
            let word = String::from_utf8_lossy(line.split(|b| *b == b' ').next().unwrap_or_default()).into_owned();
            return Err(self.syntax(format!("the psql command {word}, which no dump of maint holds")));
        };
        refused.map_or(Ok(()), |problem| Err(self.syntax(problem)))
    }

    fn restrict(&mut self, key: Vec<u8>) -> Option<&'static str> {
        self.restrict_key = Some(key);
        self.restricted = true;
        if self.lexer.statements() == 0 { None } else { Some("\\restrict after the first statement") }
    }

    fn syntax(&self, problem: impl Into<String>) -> DumpSyntax {
        DumpSyntax { offset: self.offset, problem: problem.into() }
    }

    /// Says what was read, if it was a whole dump.
    ///
    /// # Errors
    /// When the stream ended early: inside a statement, table or large object, or without the line that ends a dump.
    pub fn finish(self) -> Result<DumpSummary, DumpSyntax> {
        let table = self.block.as_ref().map(Block::table).or(self.next_block.as_ref().map(|(table, _)| table));
        let problem = if let Some(table) = table {
            Some(format!("it ends inside the data of {table}"))
        } else if let Some(object) = &self.object {
            Some(format!("it ends inside large object {}", object.oid()))
        } else if !self.lexer.at_rest() {
            Some("it ends inside a statement".to_owned())
        } else if !self.complete {
            Some("the line that ends a dump is missing".to_owned())
        } else if self.restricted {
            Some("\\unrestrict is missing".to_owned())
        } else {
            None
        };
        match problem {
            Some(problem) => Err(self.syntax(problem)),
            None => Ok(DumpSummary { plain_bytes: self.offset, ..self.summary }),
        }
    }
}
