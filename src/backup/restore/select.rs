//! Which entries of an archive were asked for.

use super::{RestoreError, error::show, names};
use crate::{capture::archive::Patterns, model::contents::PathBytes};

/// How many names are offered in place of one that is not there.
const OFFERED: usize = 3;

struct Wanted {
    path: Vec<u8>,
    /// The same as a pattern; `None` where it cannot be one.
    pattern: Option<Patterns>,
    found: bool,
}

/// Paths and patterns; without any, everything is selected.
pub(super) struct Selection(Vec<Wanted>);

impl Selection {
    pub(super) fn new(paths: &[PathBytes]) -> Result<Self, RestoreError> {
        let wanted = paths.iter().map(|path| {
            let mut path = path.0.as_slice();
            while let Some(shorter) = path.strip_suffix(b"/") {
                path = shorter;
            }
            while let Some(shorter) = path.strip_prefix(b"./") {
                path = shorter;
            }
            names::check(path)?;
            let glob = std::str::from_utf8(path).ok().filter(|text| text.contains(['*', '?', '[', '{']));
            // A file may well be called `a[1`: as a path it is still looked for.
            let pattern = glob.and_then(|text| Patterns::new(&[text.to_owned()]).ok());
            Ok(Wanted { path: path.to_vec(), pattern, found: false })
        });
        Ok(Self(wanted.collect::<Result<_, RestoreError>>()?))
    }

    pub(super) fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry was asked for, itself or with a directory that it lies in.
    pub(super) fn matches(&self, path: &[u8]) -> bool {
        self.is_all() || self.0.iter().any(|wanted| wanted.matches(path))
    }

    /// As [`matches`](Self::matches); remembers what was found.
    pub(super) fn find(&mut self, path: &[u8]) -> bool {
        let mut any = self.is_all();
        for wanted in &mut self.0 {
            let found = wanted.matches(path);
            wanted.found |= found;
            any |= found;
        }
        any
    }

    /// Something that was asked for and not found.
    pub(super) fn missing(&self) -> Option<&[u8]> {
        self.0.iter().find(|wanted| !wanted.found).map(|wanted| wanted.path.as_slice())
    }
}

impl Wanted {
    fn matches(&self, path: &[u8]) -> bool {
        names::is_in(path, &self.path) || self.pattern.as_ref().is_some_and(|pattern| self.by_pattern(pattern, path))
    }

    fn by_pattern(&self, pattern: &Patterns, path: &[u8]) -> bool {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        ends.chain([path.len()]).any(|end| pattern.matches(&path[..end]))
    }
}

/// Keeps the names that are nearest to one.
pub(super) struct Nearest {
    to: String,
    best: Vec<(f64, String)>,
}

impl Nearest {
    pub(super) fn new(to: &[u8]) -> Self {
        Self { to: show(to), best: Vec::new() }
    }

    pub(super) fn look(&mut self, path: &[u8]) {
        let name = show(path);
        let last = |text: &str| text.rsplit('/').next().unwrap_or(text).to_owned();
        let whole = strsim::normalized_levenshtein(&self.to, &name);
        // Most often the directory was forgotten, or is another one.
        let score = whole.max(0.9 * strsim::normalized_levenshtein(&last(&self.to), &last(&name)));
        if score > 0.5 {
            self.best.push((score, name));
            self.best.sort_by(|a, b| b.0.total_cmp(&a.0));
            self.best.truncate(OFFERED);
        }
    }

    pub(super) fn error(self) -> RestoreError {
        let nearest = self.best.into_iter().map(|(_, name)| name).collect();
        RestoreError::NotFound { path: self.to, nearest }
    }
}
