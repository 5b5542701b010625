//! A dump: read again by SQL's rules, counted and digested, compared with what was captured and with the catalogue.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::artifact::Decoding;
use crate::{
    model::{
        contents::{ContentsKind, LargeObjectLine, Line, TableLine, TableName},
        manifest::Artifact,
        units::count,
    },
    stream::{
        StreamError,
        contents::ContentsReader,
        dump::{DumpReader, DumpSyntax, Visitor},
    },
};

/// What the contents list says, line by line, beside what the dump really holds.
struct Comparison {
    path: PathBuf,
    expected: ContentsReader,
    catalogue: BTreeSet<TableName>,
    catalogue_large_objects: Option<u64>,
    first: Option<Line>,
    /// Rows of every table that was read.
    found: BTreeMap<TableName, u64>,
    counted: u64,
}

/// What stops the reading: a syntax error has no path of its own.
enum Stop {
    Syntax(DumpSyntax),
    Stream(StreamError),
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

impl Stop {
    fn at(self, path: &Path) -> StreamError {
        match self {
            Self::Syntax(e) => StreamError::damaged(path, e.to_string()),
            Self::Stream(e) => e,
        }
    }
}

impl Comparison {
    fn open(path: &Path, contents: &Path, kind: ContentsKind) -> Result<Self, StreamError> {
        let expected = ContentsReader::open(contents)?;
        if expected.kind != kind {
            return Err(StreamError::damaged(contents, "is of another kind than the manifest says"));
        }
        let mut this = Self {
            path: path.to_owned(),
            expected,
            catalogue: BTreeSet::new(),
            catalogue_large_objects: None,
            first: None,
            found: BTreeMap::new(),
            counted: 0,
        };
        loop {
            match this.expected.next().transpose()? {
                Some(Line::CatalogueTable { table }) => {
                    this.catalogue.insert(table);
                }
                Some(Line::CatalogueLargeObjects { count }) => this.catalogue_large_objects = Some(count),
                // What only a restore can be compared with.
                Some(Line::Role { .. } | Line::Object(_) | Line::Inventory { .. }) => {}
                other => {
                    this.first = other;
                    return Ok(this);
                }
            }
        }
    }

    /// The next table or large object that the list expects. What the source counted comes after all of them, and is
    /// compared on the way.
    fn next(&mut self) -> Result<Option<Line>, StreamError> {
        loop {
            let line = match self.first.take() {
                Some(line) => Some(line),
                None => self.expected.next().transpose()?,
            };
            match line {
                Some(Line::Counted { table, rows }) => self.counted(&table, rows)?,
                Some(Line::Role { .. } | Line::Object(_) | Line::Inventory { .. } | Line::Sequence(_)) => {}
                other => {
                    return Ok(other.filter(|l| matches!(l, Line::Table(_) | Line::LargeObject(_) | Line::Entry(_))));
                }
            }
        }
    }

    fn counted(&mut self, table: &TableName, rows: u64) -> Result<(), StreamError> {
        self.counted += 1;
        match self.found.get(table) {
            Some(found) if *found == rows => Ok(()),
            found => {
                let found = found.copied().unwrap_or(0);
                Err(self.differs(format!("{table} has {found} rows; the server counted {rows}")))
            }
        }
    }

    fn differs(&self, problem: String) -> StreamError {
        StreamError::damaged(&self.path, problem)
    }
}

impl Visitor for Comparison {
    type Error = Stop;

    fn table(&mut self, found: TableLine) -> Result<(), Stop> {
        let name = found.table.clone();
        match self.next()? {
            Some(Line::Table(expected)) if expected == found => {}
            Some(Line::Table(expected)) if expected.table == name => {
                let problem = if expected.content.rows == found.content.rows {
                    format!("the rows of {name} are not those that were captured")
                } else {
                    format!("{name} has {} rows instead of {}", found.content.rows, expected.content.rows)
                };
                return Err(self.differs(problem).into());
            }
            _ => return Err(self.differs(format!("{name} stands where the contents list has something else")).into()),
        }
        self.found.insert(name.clone(), found.content.rows);
        if !self.catalogue.remove(&name) {
            return Err(self.differs(format!("{name} is in the dump, but not in the catalogue's list")).into());
        }
        Ok(())
    }

    fn large_object(&mut self, found: LargeObjectLine) -> Result<(), Stop> {
        match self.next()? {
            Some(Line::LargeObject(expected)) if expected == found => Ok(()),
            Some(Line::LargeObject(expected)) if expected.oid < found.oid => {
                Err(self.differs(format!("large object {} is missing", expected.oid)).into())
            }
            _ => Err(self.differs(format!("large object {} is not the one that was captured", found.oid)).into()),
        }
    }
}

/// Checks a database's dump; gives what was compared, in words.
pub(super) fn database(
    path: &Path,
    contents: &Path,
    artifact: &Artifact,
    decoding: Decoding<'_>,
) -> Result<Vec<String>, StreamError> {
    let mut comparison = Comparison::open(path, contents, ContentsKind::PostgresDump)?;
    let tables = comparison.catalogue.len() as u64;
    let mut reader = DumpReader::new();
    decoding.run(|plain| reader.feed(plain, &mut comparison).map_err(|stop| stop.at(path)))?;
    let summary = reader.finish().map_err(|e| Stop::Syntax(e).at(path))?;
    match comparison.next()? {
        Some(Line::LargeObject(missing)) => {
            return Err(comparison.differs(format!("large object {} is missing", missing.oid)));
        }
        Some(_) => return Err(comparison.differs("something that was captured is missing at its end".into())),
        None => {}
    }
    if let Some(missing) = comparison.catalogue.first() {
        return Err(comparison.differs(format!("{missing} is in the catalogue's list, but not in the dump")));
    }
    if comparison.catalogue_large_objects != Some(summary.large_objects) {
        let counted = comparison.catalogue_large_objects.map_or_else(|| "no number".to_owned(), |n| n.to_string());
        let found = count(summary.large_objects, "large object");
        return Err(comparison.differs(format!("{found}, and the catalogue's list has {counted}")));
    }
    let counts = &artifact.counts;
    let counted = comparison.counted;
    if (counts.tables, counts.rows) != (Some(summary.tables), Some(summary.rows))
        || counts.counted_at_source.unwrap_or(0) != counted
    {
        return Err(comparison.differs("the manifest counts tables or rows differently".into()));
    }
    let mut checks = vec![
        format!("digests of {} in {}", count(summary.rows, "row"), count(summary.tables, "table")),
        format!("exactly the catalogue's {}", count(tables, "table")),
        "pg_dump's last line".to_owned(),
    ];
    if counted > 0 {
        checks.push(format!("rows of {} as the server counted them", count(counted, "table")));
    }
    if summary.large_objects > 0 {
        checks.insert(1, format!("digests of {}", count(summary.large_objects, "large object")));
    }
    Ok(checks)
}

/// Checks a server's globals; gives what was compared, in words.
pub(super) fn globals(path: &Path, contents: &Path, decoding: Decoding<'_>) -> Result<Vec<String>, StreamError> {
    let mut comparison = Comparison::open(path, contents, ContentsKind::PostgresGlobals)?;
    let mut reader = DumpReader::globals();
    decoding.run(|plain| reader.feed(plain, &mut comparison).map_err(|stop| stop.at(path)))?;
    reader.finish().map_err(|e| Stop::Syntax(e).at(path))?;
    if comparison.next()?.is_some() {
        return Err(comparison.differs("the contents list of globals has tables".into()));
    }
    Ok(vec!["pg_dumpall's last line".to_owned()])
}
