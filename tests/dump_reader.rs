//! The dump reader against SQL made to mislead it, in pieces of every size.

use std::collections::BTreeMap;

use maint::{
    model::contents::{LargeObjectLine, TableLine},
    stream::dump::{Boundary, DumpReader, DumpSummary, DumpSyntax, Visitor},
};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

#[path = "../fuzz/src/splits.rs"]
mod splits;

/// Keeps everything that the reader tells.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    bytes: Vec<u8>,
    tables: Vec<TableLine>,
    objects: Vec<LargeObjectLine>,
    boundaries: Vec<(u64, Boundary)>,
}

impl Visitor for Seen {
    type Error = DumpSyntax;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), DumpSyntax> {
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// Every eighth byte or so, counted from the last boundary: enough to see that boundaries do not depend on pieces.
    fn next_row_boundary(&self) -> u64 {
        self.boundaries.last().map_or(0, |(at, _)| *at) + 8
    }

    fn boundary(&mut self, boundary: Boundary) -> Result<(), DumpSyntax> {
        self.boundaries.push((self.bytes.len() as u64, boundary));
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

fn read(sql: &[u8], pieces: &[usize]) -> Result<(Seen, DumpSummary), DumpSyntax> {
    let mut seen = Seen::default();
    let mut reader = DumpReader::new();
    let mut rest = sql;
    let mut sizes = pieces.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(rest.len(), |s| (*s).clamp(1, rest.len()));
        reader.feed(&rest[..size], &mut seen)?;
        rest = &rest[size..];
    }
    let summary = reader.finish()?;
    Ok((seen, summary))
}

const END: &str = "--\n-- PostgreSQL database dump complete\n--\n\n";

fn whole(body: &str) -> String {
    format!("--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\n{body}{END}\\unrestrict abc\n\n")
}

fn ok(body: &str) -> (Seen, DumpSummary) {
    read(whole(body).as_bytes(), &[]).unwrap_or_else(|e| panic!("{e}\n{body}"))
}

fn problem(sql: &str) -> String {
    read(sql.as_bytes(), &[]).expect_err(sql).problem
}

#[test]
fn rows_are_counted_and_digested() {
    let body = "COPY public.t (a, b) FROM stdin;\n1\tx\n2\t\\\\.\n\n\\N\t\\N\n\\.\n\n\nCOPY public.empty (a) FROM stdin;\n\\.\n";
    let (seen, summary) = ok(body);
    assert_eq!((summary.tables, summary.rows), (2, 4));
    let table = &seen.tables[0];
    assert_eq!((table.table.to_string(), table.columns.as_slice()), ("public.t".into(), &["a".into(), "b".into()][..]));
    let rows = ["1\tx", "2\t\\\\.", "", "\\N\t\\N"];
    let sum = rows.iter().fold(0u128, |sum, row| sum.wrapping_add(xxh3_128(row.as_bytes())));
    assert_eq!((table.content.rows, table.content.digest), (4, sum));
    let at = usize::try_from(table.offset).unwrap();
    let end = at + usize::try_from(table.bytes).unwrap();
    assert_eq!(&seen.bytes[at..end], (rows.join("\n") + "\n").as_bytes());
    assert_eq!((seen.tables[1].content.rows, seen.tables[1].bytes), (0, 0));
    assert_eq!(summary.plain_bytes, whole(body).len() as u64);
}

#[test]
fn tables_without_columns_have_rows() {
    let (seen, _) = ok("COPY public.\"none at all\"  FROM stdin;\n\n\n\\.\n");
    assert_eq!((seen.tables[0].content.rows, seen.tables[0].columns.len()), (2, 0));
}

#[test]
fn data_hidden_in_text_is_text() {
    let copy = "\nCOPY public.fake (a) FROM stdin;\n1\n\\.\n";
    for hiding in [
        format!("CREATE FUNCTION f() AS $$ {copy} $$ LANGUAGE sql;"),
        format!("CREATE FUNCTION f() AS $_$ $$ $_ {copy} $x$ $_$ LANGUAGE sql;"),
        format!("COMMENT ON TABLE t IS 'it''s {copy} --';"),
        format!("COMMENT ON TABLE t IS E'\\'{copy}\\\\';"),
        format!("COMMENT ON TABLE t IS e'a'\n  'b\\'{copy}';"),
        format!("/* a /* nested */ {copy} */ SELECT 1;"),
        format!("CREATE TABLE public.\"x;{copy}\"\"\" (a int);"),
        format!("CREATE TABLE a$b$ (c int DEFAULT 'x{copy}$b$');"),
        format!("CREATE VIEW v AS SELECT 1 -- {}\n;", copy.replace('\n', " ")),
        "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT 2; END;".into(),
        "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);".into(),
        format!("SET standard_conforming_strings = off;\nSELECT '\\'{copy}';"),
    ] {
        let real = "COPY public.real (a) FROM stdin;\n1\n\\.\n";
        let (seen, _) = ok(&format!("{hiding}\n{real}"));
        let names: Vec<_> = seen.tables.iter().map(|t| t.table.name.as_str()).collect();
        assert_eq!(names, ["real"], "{hiding}");
    }
}

#[test]
fn large_objects_are_digested() {
    let body = "BEGIN;\n\nSELECT pg_catalog.lo_open('16391', 131072);\nSELECT pg_catalog.lowrite(0, '\\x0001');\n\
                SELECT pg_catalog.lowrite(0, '\\xff');\nSELECT pg_catalog.lo_close(0);\n\n\
                SELECT pg_catalog.lo_open('7', 131072);\nSELECT pg_catalog.lo_close(0);\n\nCOMMIT;\n";
    let (seen, summary) = ok(body);
    assert_eq!(summary.large_objects, 2);
    assert_eq!(seen.objects[0], LargeObjectLine { oid: 16391, length: 3, digest: xxh3_128(&[0, 1, 255]) });
    assert_eq!(seen.objects[1], LargeObjectLine { oid: 7, length: 0, digest: xxh3_128(&[]) });
}

#[test]
fn a_dump_without_its_end_is_refused() {
    let sql = whole(
        "COPY public.t (a) FROM stdin;\n1\n2\n\\.\nSELECT pg_catalog.lo_open('7', 131072);\nSELECT pg_catalog.lowrite(0, '\\x00');\nSELECT pg_catalog.lo_close(0);\n",
    );
    assert!(read(sql.as_bytes(), &[]).is_ok());
    let least = sql.find("\\unrestrict abc\n").unwrap() + "\\unrestrict abc\n".len();
    for length in 0..least {
        assert!(read(&sql.as_bytes()[..length], &[]).is_err(), "{length} bytes were taken for a whole dump");
    }
    assert!(problem("SELECT 1;\n").contains("missing"));
    assert!(problem(&whole("COPY public.t (a) FROM stdin;\n1\n")).contains("inside the data of public.t"));
}

#[test]
fn what_no_dump_holds_is_refused() {
    for (body, expected) in [
        ("\\connect other\n", "\\connect"),
        ("\\! rm -rf /\n", "\\!"),
        ("\\restrict abc\n", "second time"),
        ("\\unrestrict abc\n", "wrong place"),
        ("SELECT 1 \\gexec\n;", "inside a statement"),
        ("COPY public.t FROM stdin WITH CSV;\n1\n\\.\n", "another form"),
        ("COPY public.t (a) FROM stdin; SELECT 1;\n1\n\\.\n", "line goes on"),
        ("SELECT pg_catalog.lowrite(0, '\\x00');\n", "cannot be read"),
        ("SELECT pg_catalog.lo_close(0);\n", "never began"),
        ("SELECT pg_catalog.lo_open('1', 131072);\nSELECT pg_catalog.lo_open('2', 131072);\n", "inside another"),
    ] {
        let found = problem(&whole(body));
        assert!(found.contains(expected), "{body}: {found}");
    }
    assert!(problem(&format!("{}SELECT 1;\n", whole(""))).contains("after its end"));
    assert!(problem(&format!("{}SELECT 1", whole(""))).contains("inside a statement"));
    assert!(problem(&format!("SELECT 1;\n\\restrict x\n{END}")).contains("after the first statement"));
    assert!(problem(&format!("\\restrict x\n{END}")).contains("missing"));
    assert!(problem(&format!("\\restrict x\n{END}\\unrestrict y\n")).contains("another key"));
}

#[test]
fn an_end_inside_a_body_is_no_end() {
    assert!(problem("SELECT $$\n-- PostgreSQL database dump complete\n$$;\n").contains("missing"));
    assert!(problem("SELECT 1\n-- PostgreSQL database dump complete\n;\n").contains("missing"));
}

#[test]
fn a_globals_dump_has_an_end_of_its_own() {
    let sql = b"CREATE ROLE a;\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    let mut reader = DumpReader::globals();
    reader.feed(sql, &mut Seen::default()).unwrap();
    assert!(reader.finish().is_ok());
    assert!(read(sql, &[]).is_err());
    let restricted = b"\\restrict a1\n\nCREATE ROLE a;\n\n\\unrestrict a1\n\n--\n-- PostgreSQL database cluster dump complete\n--\n\n";
    let mut reader = DumpReader::globals();
    reader.feed(restricted, &mut Seen::default()).unwrap();
    assert!(reader.finish().is_ok());
}

/// A row larger than any buffer: the digest is right and nothing of it is kept.
#[test]
fn rows_may_span_many_pieces() {
    let row = "x".repeat(300_000);
    let sql = whole(&format!("COPY public.t (a) FROM stdin;\n{row}\nb\n\\.\n"));
    let (seen, _) = read(sql.as_bytes(), &[4096]).unwrap();
    assert_eq!(seen.tables[0].content.digest, xxh3_128(row.as_bytes()).wrapping_add(xxh3_128(b"b")));
}

fn hostile() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        Just("COPY public.fake (a) FROM stdin;\n"),
        Just("\\.\n"),
        Just("\\."),
        Just("$$"),
        Just("$a$"),
        Just("''"),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("\""),
        Just(";\n"),
        Just("\n-- PostgreSQL database dump complete\n"),
        Just("E"),
        Just("é\\\\"),
        Just("\t"),
        Just(" "),
    ];
    proptest::collection::vec(token, 0..8).prop_map(|tokens| tokens.concat())
}

#[derive(Debug, Clone)]
enum Part {
    Table(String, Vec<String>),
    Text(String),
    Object(u32, Vec<Vec<u8>>),
}

fn part() -> impl Strategy<Value = Part> {
    let row = hostile().prop_map(|row| row.replace('\\', "\\\\").replace('\n', "\\n"));
    let chunk = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        (hostile(), proptest::collection::vec(row, 0..6)).prop_map(|(name, rows)| Part::Table(name, rows)),
        hostile().prop_map(|text| Part::Text(format!("SELECT '{}';\n", text.replace('\'', "''")))),
        hostile().prop_map(|text| Part::Text(format!("SELECT \"{}\";\n", text.replace('"', "\"\"")))),
        hostile().prop_map(|text| Part::Text(format!("SELECT $q$ {text} $q$;\n"))),
        (any::<u32>(), proptest::collection::vec(chunk, 0..3)).prop_map(|(oid, chunks)| Part::Object(oid, chunks)),
    ]
}

fn write_sql(parts: &[Part]) -> String {
    let hex = maint::model::contents::hex;
    let text = parts.iter().map(|part| match part {
        Part::Text(text) => text.clone(),
        Part::Table(name, rows) => {
            let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
            format!("COPY s.\"t{}\" (a) FROM stdin;\n{rows}\\.\n\n\n", name.replace('"', "\"\""))
        }
        Part::Object(oid, chunks) => {
            let write = |c: &Vec<u8>| format!("SELECT pg_catalog.lowrite(0, '\\x{}');\n", hex(c));
            let writes: String = chunks.iter().map(write).collect();
            format!("SELECT pg_catalog.lo_open('{oid}', 131072);\n{writes}SELECT pg_catalog.lo_close(0);\n\n")
        }
    });
    whole(&text.collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_dump_is_read_right_in_any_pieces(
        parts in proptest::collection::vec(part(), 0..6),
        pieces in proptest::collection::vec(1usize..60, 1..5),
    ) {
        let sql = write_sql(&parts);
        let (seen, _) = read(sql.as_bytes(), &[]).map_err(|e| TestCaseError::fail(format!("{e}\n{sql}")))?;
        prop_assert_eq!(&seen.bytes, sql.as_bytes());
        let mut tables = seen.tables.iter();
        let mut objects = seen.objects.iter();
        for part in &parts {
            match part {
                Part::Table(name, rows) => {
                    let table = tables.next().unwrap();
                    let sum = rows.iter().fold(0u128, |sum, row| sum.wrapping_add(xxh3_128(row.as_bytes())));
                    prop_assert_eq!(&table.table.name, &format!("t{name}"));
                    prop_assert_eq!((table.content.rows, table.content.digest), (rows.len() as u64, sum));
                }
                Part::Object(oid, chunks) => {
                    let content = chunks.concat();
                    let line = LargeObjectLine { oid: *oid, length: content.len() as u64, digest: xxh3_128(&content) };
                    prop_assert_eq!(objects.next(), Some(&line));
                }
                Part::Text(_) => {}
            }
        }
        prop_assert!(tables.next().is_none() && objects.next().is_none());
        prop_assert_eq!(read(sql.as_bytes(), &pieces).unwrap().0, seen);
    }

    /// What the fuzz target checks, on bytes that are near to SQL.
    #[test]
    fn any_bytes_give_the_same_answer_in_any_pieces(
        text in proptest::collection::vec(hostile(), 0..6),
        noise in proptest::collection::vec(any::<u8>(), 0..6),
        pieces in proptest::collection::vec(1u8..40, 1..5),
    ) {
        let mut bytes = text.concat().into_bytes();
        bytes.splice(bytes.len() / 2..bytes.len() / 2, noise);
        splits::same_in_any_pieces(&bytes, &pieces);
    }
}

/// The fuzz corpus is replayed, so that what was found once stays found.
#[test]
fn the_fuzz_corpus_passes() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/dump_reader");
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        files.insert(path.clone(), std::fs::read(&path).unwrap());
    }
    assert!(files.len() >= 4, "{dir} holds {} files", files.len());
    for bytes in files.values() {
        for pieces in [&[1u8][..], &[2, 3], &[7], &[255]] {
            splits::same_in_any_pieces(bytes, pieces);
        }
    }
}
