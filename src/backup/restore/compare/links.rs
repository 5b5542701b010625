//! Hard links as such, and what is there though nothing lists it.

use std::{collections::HashMap, io};

use rustix::fs::FileType;

use super::Comparer;
use crate::{
    adapters::tree::{self, Dir, Facts},
    backup::restore::RestoreError,
    model::contents::{EntryKind, EntryLine},
    stream::StreamError,
};

/// Identity of the places that hard links name; `None`: not seen yet.
pub(super) type Links = HashMap<Vec<u8>, Option<(u64, u64)>>;

impl Comparer<'_> {
    /// Compares an entry's inode with its target's, and counts the names of a target.
    pub(super) fn linked(
        &mut self,
        line: &EntryLine,
        facts: Option<Facts>,
        links: &mut Links,
        expected: &HashMap<Vec<u8>, u64>,
    ) {
        let Some(facts) = facts else { return };
        let path = line.path.0.as_slice();
        if let Some(seen) = links.get_mut(path) {
            *seen = Some(facts.identity);
        }
        if let (EntryKind::Hardlink, Some(target)) = (line.kind, &line.target) {
            if links.get(&target.0).copied().flatten() != Some(facts.identity) {
                self.differs(path, format!("is not the same file as {target}"));
            }
        } else if line.kind != EntryKind::Directory {
            let names = expected.get(path).copied().unwrap_or(1);
            if facts.links != names {
                self.differs(path, format!("has {} names instead of {names}", facts.links));
            }
        }
    }

    /// Walks the tree for what the list does not have. One directory is open at a time, however deep they lie.
    pub(super) fn nothing_more(&mut self) -> Result<(), RestoreError> {
        let mut dirs = vec![b".".to_vec()];
        while let Some(path) = dirs.pop() {
            if self.cancel.is_cancelled() {
                return Err(StreamError::Cancelled.into());
            }
            let listed = self.enter(&path).and_then(|()| self.list());
            for (name, kind) in listed.map_err(|e| self.failed("listing", &path, e))? {
                let inner = if path == b"." { name } else { [&path, &b"/"[..], &name].concat() };
                if !self.is_listed(&inner) {
                    self.differs(&inner, "is not in the archive");
                } else if kind == FileType::Directory {
                    dirs.push(inner);
                }
            }
        }
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<(Vec<u8>, FileType)>> {
        let Some((_, here)) = &self.here else { return Ok(Vec::new()) };
        let listing = here.list()?;
        let kind = |here: &Dir, name: &[u8], kind| match kind {
            FileType::Unknown => tree::facts(Some(here), name).map(|facts| facts.kind),
            known => Ok(known),
        };
        let mut names = Vec::new();
        while let Some((name, listed)) = listing.get(names.len()) {
            names.push((name.to_vec(), kind(here, name, listed)?));
        }
        Ok(names)
    }
}
