//! A dump's SQL, statement by statement: what a restore executes.

use super::{
    DumpSyntax,
    lexer::{Lexed, Lexer},
    statement::{self, Statement},
};
use crate::model::contents::TableName;

/// A longer statement is refused. A dump's longest are pieces of large objects (32 KiB) and what users wrote: functions,
/// comments, views.
const MAX_STATEMENT: usize = 256 << 20;

/// A statement of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlStatement {
    /// About where it begins in the plain stream.
    pub offset: u64,
    /// Its text without comments, leading blanks and semicolon; in the dump's encoding.
    pub text: Vec<u8>,
}

/// What stands in a dump's SQL.
#[derive(Debug, PartialEq, Eq)]
pub enum Sql {
    /// To be executed.
    Statement(SqlStatement),
    /// A COPY statement: the rows of this table follow at once.
    Rows(TableName),
}

/// Splits SQL into statements by psql's rules. Rows are not its business: it is fed the SQL around them.
pub struct Splitter {
    lexer: Lexer,
    offset: u64,
    at_rows: bool,
}

impl Default for Splitter {
    fn default() -> Self {
        Self::keeping(MAX_STATEMENT)
    }
}

impl Splitter {
    fn keeping(most: usize) -> Self {
        Self { lexer: Lexer::keeping(most), offset: 0, at_rows: false }
    }

    /// The rows of a COPY statement were passed: the SQL goes on at this place of the plain stream.
    pub fn go_on_at(&mut self, offset: u64) {
        self.offset = offset;
        self.at_rows = false;
    }

    /// Whether the SQL so far ends with a COPY statement, so that rows come next.
    pub fn at_rows(&self) -> bool {
        self.at_rows
    }

    /// Reads the next piece and gives what is in it.
    ///
    /// # Errors
    /// When this is no SQL as `pg_dump` writes it, or `take` stops.
    pub fn feed<E: From<DumpSyntax>>(
        &mut self,
        mut bytes: &[u8],
        take: &mut dyn FnMut(Sql) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            if self.at_rows {
                return Err(self.syntax("rows where the contents list has none").into());
            }
            let (used, lexed) = self.lexer.read(bytes);
            self.offset += used as u64;
            bytes = &bytes[used..];
            match lexed {
                Lexed::More | Lexed::Comment => {}
                Lexed::Statement => take(self.statement()?)?,
                Lexed::Meta => self.meta()?,
                Lexed::Data => self.at_rows = true,
                Lexed::Refused(problem) => return Err(self.syntax(problem).into()),
            }
        }
        Ok(())
    }

    fn statement(&mut self) -> Result<Sql, DumpSyntax> {
        if self.lexer.is_cut_off() {
            return Err(self.syntax(format!("a statement longer than {} MiB", MAX_STATEMENT >> 20)));
        }
        let offset = self.offset.saturating_sub(self.lexer.text().len() as u64 + 1);
        let sql = match statement::parse(self.lexer.text(), false).map_err(|problem| self.syntax(problem))? {
            Statement::Copy { table, .. } => {
                self.lexer.expect_data();
                Sql::Rows(table)
            }
            Statement::StandardStrings(on) => {
                self.lexer.set_standard_strings(on);
                Sql::Statement(SqlStatement { offset, text: self.lexer.take_text() })
            }
            _ => Sql::Statement(SqlStatement { offset, text: self.lexer.take_text() }),
        };
        self.lexer.next_statement();
        Ok(sql)
    }

    /// `\restrict` and `\unrestrict` are psql's, to keep other psql commands out.
    fn meta(&self) -> Result<(), DumpSyntax> {
        let word = self.lexer.comment().split(|b| *b == b' ').next().unwrap_or_default();
        if word == b"\\restrict" || word == b"\\unrestrict" {
            return Ok(());
        }
        let word = String::from_utf8_lossy(word);
        Err(self.syntax(format!("the psql command {word}, which no dump of maint holds")))
    }

    /// Sees to it that nothing was begun and not ended.
    ///
    /// # Errors
    /// When the SQL ends inside a statement.
    pub fn finish(&self) -> Result<(), DumpSyntax> {
        if self.lexer.at_rest() && !self.at_rows { Ok(()) } else { Err(self.syntax("it ends inside a statement")) }
    }

    fn syntax(&self, problem: impl Into<String>) -> DumpSyntax {
        DumpSyntax { offset: self.offset, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(splitter: &mut Splitter, text: &[u8], size: usize) -> Result<Vec<Sql>, DumpSyntax> {
        let mut found = Vec::new();
        for piece in text.chunks(size) {
            splitter.feed(piece, &mut |sql| {
                found.push(sql);
                Ok::<_, DumpSyntax>(())
            })?;
        }
        Ok(found)
    }

    const TEXT: &[u8] = b"\\restrict abc\n-- Name: a; Type: TABLE\nSET x = 'a;b';\n\nCREATE FUNCTION f() AS $_$ BEGIN; -- c\n END $_$;\n\
        CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; END;\nSELECT E'\\';', \"a;b\" /* ; */;\nCOPY public.t (a) FROM stdin;\n";

    #[test]
    fn statements_are_whole_however_the_stream_is_cut() {
        for size in [1, 3, TEXT.len()] {
            let mut splitter = Splitter::default();
            let found = split(&mut splitter, TEXT, size).unwrap();
            let texts: Vec<_> = found
                .iter()
                .map(|sql| match sql {
                    Sql::Statement(s) => String::from_utf8(s.text.clone()).unwrap(),
                    Sql::Rows(table) => format!("rows of {table}"),
                })
                .collect();
            assert_eq!(
                texts,
                [
                    "SET x = 'a;b'",
                    "CREATE FUNCTION f() AS $_$ BEGIN; -- c\n END $_$",
                    "CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; END",
                    "SELECT E'\\';', \"a;b\" ",
                    "rows of public.t"
                ]
            );
            assert!(splitter.at_rows() && splitter.finish().is_err());
            assert!(split(&mut splitter, b"1\n", 1).is_err());
            splitter.go_on_at(500);
            assert_eq!(
                split(&mut splitter, b"\nSELECT 1;\n\\unrestrict abc\n\n", 4).unwrap(),
                [Sql::Statement(SqlStatement { offset: 501, text: b"SELECT 1".to_vec() })]
            );
            splitter.finish().unwrap();
        }
    }

    #[test]
    fn what_psql_would_do_beyond_sql_is_refused() {
        for (text, said) in [(&b"\\! id\n"[..], "the psql command \\!"), (b"SELECT 1\\gexec\n", "inside a statement")] {
            let error = split(&mut Splitter::default(), text, 1).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
        let error = split(&mut Splitter::keeping(20), b"SELECT 'aaaaaaaaaaaaaaaaaaaaaaaaa';", 5).unwrap_err();
        assert!(error.to_string().contains("longer than"), "{error}");
        let mut splitter = Splitter::default();
        split(&mut splitter, b"SELECT 1", 5).unwrap();
        assert!(splitter.finish().is_err());
    }
}
