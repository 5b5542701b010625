//! The few statements of a dump that say something about its data.

use crate::model::contents::TableName;

/// What a statement means for the reader.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement<'a> {
    /// Nothing.
    Other,
    /// `COPY … FROM stdin`: rows follow.
    Copy { table: TableName, columns: Vec<String> },
    /// How backslashes in later strings are to be read.
    StandardStrings(bool),
    /// `lo_open` of this large object.
    LargeObjectOpen(u32),
    /// `lowrite` of these hex digits.
    LargeObjectWrite(&'a [u8]),
    /// `lo_close`.
    LargeObjectClose,
}

/// Reads a statement without its semicolon. `pg_dump` writes these in exactly one way (pg_dump.c `dumpTableData_copy`,
/// pg_backup_archiver.c `StartRestoreLO`, pg_backup_null.c), so nothing else is taken for one.
pub(super) fn parse(text: &[u8], cut_off: bool) -> Result<Statement<'_>, &'static str> {
    let first = text.iter().position(|b| !b.is_ascii_alphabetic()).map_or(text, |end| &text[..end]);
    let large_object = text.strip_prefix(b"SELECT pg_catalog.lo");
    if first.eq_ignore_ascii_case(b"copy") {
        let parsed = if cut_off { None } else { copy(&text[first.len()..]) };
        return parsed.ok_or("a COPY statement of another form than pg_dump's");
    }
    match large_object {
        Some(rest) if cut_off || !rest.ends_with(b")") => Err("a large object statement that cannot be read"),
        Some(rest) => large_object_call(&rest[..rest.len() - 1]),
        None => Ok(match text {
            b"SET standard_conforming_strings = on" => Statement::StandardStrings(true),
            b"SET standard_conforming_strings = off" => Statement::StandardStrings(false),
            _ => Statement::Other,
        }),
    }
}

fn large_object_call(rest: &[u8]) -> Result<Statement<'_>, &'static str> {
    if let Some(rest) = rest.strip_prefix(b"_open('") {
        let digits = rest.strip_suffix(b"', 131072").and_then(|d| std::str::from_utf8(d).ok());
        let oid = digits.and_then(|d| d.parse().ok());
        return oid.map(Statement::LargeObjectOpen).ok_or("a large object is opened in an unknown way");
    }
    if let Some(rest) = rest.strip_prefix(b"write(0, '") {
        // Two backslashes where standard_conforming_strings is off.
        let rest = rest.strip_prefix(b"\\").map(|rest| rest.strip_prefix(b"\\").unwrap_or(rest));
        let hex = rest.and_then(|rest| rest.strip_prefix(b"x")).and_then(|rest| rest.strip_suffix(b"'"));
        return hex.map(Statement::LargeObjectWrite).ok_or("a large object is written in an unknown way");
    }
    if rest == b"_close(0" { Ok(Statement::LargeObjectClose) } else { Ok(Statement::Other) }
}

/// `schema.table (column, …) FROM stdin`, the list missing where a table has no columns.
fn copy(text: &[u8]) -> Option<Statement<'static>> {
    let mut rest = Tokens(text);
    let schema = rest.name()?;
    rest.exactly(b".")?;
    let name = rest.name()?;
    let mut columns = Vec::new();
    if rest.exactly(b"(").is_some() {
        loop {
            columns.push(rest.name()?);
            if rest.exactly(b",").is_none() {
                break;
            }
        }
        rest.exactly(b")")?;
    }
    rest.exactly(b"FROM")?;
    rest.exactly(b"stdin")?;
    rest.is_empty().then_some(Statement::Copy { table: TableName { schema, name }, columns })
}

/// What is left of a statement that is read token by token.
pub(super) struct Tokens<'a>(pub(super) &'a [u8]);

impl Tokens<'_> {
    fn is_empty(&mut self) -> bool {
        self.0 = self.0.trim_ascii_start();
        self.0.is_empty()
    }

    pub(super) fn exactly(&mut self, token: &[u8]) -> Option<()> {
        self.0 = self.0.trim_ascii_start().strip_prefix(token)?;
        Some(())
    }

    /// An identifier, unquoted. pg_dump writes it bare only where it is lower case (`fmtId`).
    pub(super) fn name(&mut self) -> Option<String> {
        self.0 = self.0.trim_ascii_start();
        let Some(mut rest) = self.0.strip_prefix(b"\"") else {
            let end = self.0.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$')));
            let (name, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
            self.0 = rest;
            return if name.is_empty() { None } else { String::from_utf8(name.to_ascii_lowercase()).ok() };
        };
        let mut name = Vec::new();
        loop {
            let end = memchr::memchr(b'"', rest)?;
            name.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            match rest.strip_prefix(b"\"") {
                Some(after) => {
                    name.push(b'"');
                    rest = after;
                }
                None => break,
            }
        }
        self.0 = rest;
        String::from_utf8(name).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copied(text: &str) -> (String, String, Vec<String>) {
        match parse(text.as_bytes(), false) {
            Ok(Statement::Copy { table, columns }) => (table.schema, table.name, columns),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn copy_statements() {
        let names = |n: &[&str]| n.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(copied("COPY public.t (a, b) FROM stdin"), ("public".into(), "t".into(), names(&["a", "b"])));
        assert_eq!(copied("COPY public.t  FROM stdin"), ("public".into(), "t".into(), names(&[])));
        assert_eq!(
            copied("COPY \"Ä.b\".\"a \"\"b\"\" (c) FROM stdin;\" (\"x, y\", \"\n\") FROM stdin"),
            ("Ä.b".into(), "a \"b\" (c) FROM stdin;".into(), names(&["x, y", "\n"]))
        );
    }

    #[test]
    fn another_copy_is_refused() {
        for bad in [
            "COPY t (a) FROM stdin",
            "COPY public.t () FROM stdin",
            "COPY public.t (a) FROM stdin WITH CSV",
            "COPY public.t (a) FROM '/etc/passwd'",
            "COPY public.t (a) TO stdout",
            "copy",
            "COPY \"x",
        ] {
            assert!(parse(bad.as_bytes(), false).is_err(), "{bad}");
        }
        assert!(parse(b"COPY public.t (a) FROM stdin", true).is_err());
    }

    #[test]
    fn large_objects() {
        assert_eq!(parse(b"SELECT pg_catalog.lo_open('16391', 131072)", false), Ok(Statement::LargeObjectOpen(16391)));
        assert_eq!(parse(b"SELECT pg_catalog.lowrite(0, '\\x00ff')", false), Ok(Statement::LargeObjectWrite(b"00ff")));
        assert_eq!(parse(b"SELECT pg_catalog.lo_close(0)", false), Ok(Statement::LargeObjectClose));
        assert_eq!(parse(b"SELECT pg_catalog.lo_create('16391')", false), Ok(Statement::Other));
        for bad in ["_open('99999999999', 131072)", "_open('1', 1)", "write(0, 'abc')", "write(1, '\\x')x"] {
            assert!(parse(format!("SELECT pg_catalog.lo{bad}").as_bytes(), false).is_err(), "{bad}");
        }
    }
}
