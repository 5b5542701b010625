//! A TOML file with a place for every value, and all its mistakes in one pass.
//!
//! Serde stops at the first mistake. Here the key that it complains of is taken out and the rest read again, until
//! nothing is left to complain of.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, DeValue, Deserializer},
};

use super::{diagnostic::Mistake, elsewhere};

/// A step on the way to a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    Key(String),
    Index(usize),
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// `place!["step", 0, "do"]`
macro_rules! place {
    ($($segment:expr),* $(,)?) => { [$($crate::config::document::Segment::from($segment)),*] };
}
pub(super) use place;

/// A file's text.
#[derive(Debug)]
pub(super) struct Document {
    file: PathBuf,
    text: String,
}

impl Document {
    pub(super) fn new(file: &Path, text: String) -> Self {
        Self { file: file.to_owned(), text }
    }

    /// A mistake at a place of the text.
    pub(super) fn at(&self, offset: usize, message: impl Into<String>) -> Mistake {
        let offset = (0..=offset.min(self.text.len())).rev().find(|o| self.text.is_char_boundary(*o)).unwrap_or(0);
        let before = &self.text[..offset];
        let start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = self.text[start..].lines().next().unwrap_or_default().to_owned();
        let place = (before.matches('\n').count() + 1, before[start..].chars().count() + 1);
        Mistake { place: Some(place), line: Some(line), ..Mistake::whole(&self.file, message) }
    }

    /// A mistake at the value of `path`, or at the nearest thing above it that is there.
    pub(super) fn at_path(&self, path: &[Segment], message: impl Into<String>) -> Mistake {
        let span = DeTable::parse(&self.text).ok().and_then(|root| {
            let mut best = None;
            walk(root.get_ref(), &mut Vec::new(), &mut |here, key, value| {
                if path.starts_with(here) {
                    let place = if here.len() == path.len() { value } else { key };
                    best = Some(place.start);
                }
            });
            best
        });
        match span {
            Some(offset) => self.at(offset, message),
            None => Mistake::whole(&self.file, message),
        }
    }

    /// What the keys that end in `_credential` name: every section that has a secret has such a key.
    pub(super) fn credentials(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        if let Ok(table) = self.text.parse::<toml::Table>() {
            collect_credentials(&toml::Value::Table(table), &mut found);
        }
        found
    }

    /// Reads the file as a `T`; every mistake is added to `mistakes`, and `None` is given back then.
    pub(super) fn read<T: DeserializeOwned>(&self, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let mut found = Vec::new();
        let value = self.read_into(&mut found);
        found.sort_by_key(|m| m.place);
        let value = value.filter(|_| found.is_empty());
        mistakes.extend(found);
        value
    }

    /// Reads the file as a `T` without what is wrong in it, as far as that goes.
    pub(super) fn read_the_rest<T: DeserializeOwned>(&self) -> Option<T> {
        self.read_into(&mut Vec::new())
    }

    fn read_into<T: DeserializeOwned>(&self, mistakes: &mut Vec<Mistake>) -> Option<T> {
        let (_, errors) = DeTable::parse_recoverable(&self.text);
        if !errors.is_empty() {
            mistakes.extend(errors.iter().map(|e| self.at(e.span().map_or(0, |s| s.start), first_line(e.message()))));
            return None;
        }
        let mut removed: Vec<Vec<Segment>> = Vec::new();
        // Every round takes one key out, so this ends; the limit is for a mistake of ours.
        for _ in 0..1000 {
            let mut table = DeTable::parse(&self.text).ok()?;
            for path in &removed {
                remove(table.get_mut(), path);
            }
            let found = find_all(table.get_ref());
            let error = match T::deserialize(Deserializer::from(table)) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let Some(place) = innermost(&found, &span) else {
                if !follows_from_a_removal(error.message(), &[], &removed) {
                    mistakes.push(self.describe(&span, &[], error.message()));
                }
                return None;
            };
            if !follows_from_a_removal(error.message(), &place, &removed) {
                mistakes.push(self.describe(&span, &place, error.message()));
            }
            removed.push(place);
        }
        None
    }

    fn describe(&self, span: &Range<usize>, path: &[Segment], message: &str) -> Mistake {
        let message =
            first_line(message).replace("unknown field", "unknown key").replace("missing field", "missing key");
        let message = message.replace("unknown variant", "unknown value");
        let mistake = self.at(span.start, message.clone());
        if let Some(place) = elsewhere::belongs(path).filter(|_| message.starts_with("unknown key")) {
            return mistake.help(place);
        }
        match nearest_in(&message) {
            Some(name) => mistake.help(format!("did you mean `{name}`?")),
            None => mistake,
        }
    }
}

/// A key that was taken out for its own mistake is not missing, and neither is one that was only misspelt.
fn collect_credentials(value: &toml::Value, found: &mut BTreeSet<String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                match value {
                    toml::Value::String(name) if key.ends_with("_credential") => {
                        found.insert(name.clone());
                    }
                    other => collect_credentials(other, found),
                }
            }
        }
        toml::Value::Array(values) => values.iter().for_each(|value| collect_credentials(value, found)),
        _ => {}
    }
}

fn follows_from_a_removal(message: &str, table: &[Segment], removed: &[Vec<Segment>]) -> bool {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    removed.iter().any(|path| {
        let Some((Segment::Key(key), parent)) = path.split_last() else { return false };
        let emptied = message.contains("wanted exactly 1 element") && parent == table;
        let missed = missing.is_some_and(|m| parent.starts_with(table) && nearest(key, std::iter::once(m)).is_some());
        emptied || missed
    })
}

fn first_line(text: &str) -> String {
    text.trim().lines().next().unwrap_or_default().to_owned()
}

/// "unknown key `a`, expected one of `b`, `c`": the nearest of b and c.
fn nearest_in(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (given, right) = names.split_first()?;
    nearest(given, right.iter().copied())
}

/// The name that was probably meant.
pub(super) fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let scored = names.map(|name| (strsim::jaro_winkler(&given.to_lowercase(), &name.to_lowercase()), name));
    let best = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.75).then(|| best.1.to_owned())
}

type Found = Vec<(Vec<Segment>, Range<usize>, Range<usize>)>;

fn find_all(root: &DeTable<'_>) -> Found {
    let mut found = Vec::new();
    walk(root, &mut Vec::new(), &mut |path, key, value| found.push((path.to_vec(), key.clone(), value.clone())));
    found
}

/// What an error at `span` is about: the key that stands there (of `a.b` the outer one), else the innermost value.
fn innermost(found: &Found, span: &Range<usize>) -> Option<Vec<Segment>> {
    if let Some((path, ..)) = found.iter().find(|(_, key, _)| key == span) {
        return Some(path.clone());
    }
    let holds = |outer: &Range<usize>| outer.start <= span.start && span.end <= outer.end && !outer.is_empty();
    let inside = found.iter().filter(|(_, key, value)| holds(key) || holds(value));
    inside.max_by_key(|(path, ..)| path.len()).map(|(path, ..)| path.clone())
}

type Visit<'v> = &'v mut dyn FnMut(&[Segment], &Range<usize>, &Range<usize>);

/// Calls `visit` with path, key span and value span of everything, outer before inner.
fn walk(table: &DeTable<'_>, path: &mut Vec<Segment>, visit: Visit<'_>) {
    for (key, value) in table {
        path.push(Segment::Key(key.get_ref().to_string()));
        walk_value(value, &key.span(), path, visit);
        path.pop();
    }
}

fn walk_value(value: &Spanned<DeValue<'_>>, key: &Range<usize>, path: &mut Vec<Segment>, visit: Visit<'_>) {
    visit(path, key, &value.span());
    match value.get_ref() {
        DeValue::Table(table) => walk(table, path, visit),
        DeValue::Array(array) => {
            for (index, item) in array.iter().enumerate() {
                path.push(Segment::Index(index));
                walk_value(item, &item.span(), path, visit);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Takes a value out. Later elements of an array move up, which later paths reckon with: they were found after it.
fn remove(table: &mut DeTable<'_>, path: &[Segment]) {
    let Some((Segment::Key(first), rest)) = path.split_first() else { return };
    let Some(key) = table.keys().find(|k| k.get_ref().as_ref() == first.as_str()).cloned() else { return };
    if rest.is_empty() {
        table.remove(&key);
    } else if let Some(value) = table.get_mut(&key) {
        remove_in(value.get_mut(), rest);
    }
}

fn remove_in(value: &mut DeValue<'_>, path: &[Segment]) {
    match (value, path) {
        (DeValue::Table(table), _) => remove(table, path),
        (DeValue::Array(array), [Segment::Index(index), rest @ ..]) => {
            if let (Some(item), false) = (array.get_mut(*index), rest.is_empty()) {
                remove_in(item.get_mut(), rest);
            } else {
                *array = array.iter().enumerate().filter(|(i, _)| i != index).map(|(_, v)| v.clone()).collect();
            }
        }
        _ => {}
    }
}
