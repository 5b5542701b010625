//! The stored entries that a contents list has, one by one, in the order of the archive.

use std::path::{Path, PathBuf};

use super::{RestoreError, error::show, survey};
use crate::{
    model::contents::{EntryLine, Line},
    stream::{StreamError, contents::ContentsReader, tar::Entry},
};

/// The entries that pass a filter.
pub(super) struct Expected<F> {
    list: ContentsReader,
    contents: PathBuf,
    filter: F,
}

impl<F: Fn(&[u8]) -> bool> Expected<F> {
    pub(super) fn open(contents: &Path, filter: F) -> Result<Self, RestoreError> {
        Ok(Self { list: survey::open(contents)?, contents: contents.to_owned(), filter })
    }

    /// The line of an entry that the archive has next.
    pub(super) fn compare(&mut self, found: &Entry, offset: u64) -> Result<EntryLine, RestoreError> {
        let name = || show(&found.path);
        let Some(line) = self.next().transpose()? else {
            return Err(self.damaged(format!("does not have {}, which the archive holds", name())));
        };
        let header =
            EntryLine { sha256: line.sha256.clone(), remark: line.remark.clone(), ..found.line(None, Some(offset)) };
        if header != line {
            let (name, listed) = (name(), show(&line.path.0));
            return Err(self.damaged(match listed == name {
                true => format!("says something else about {name} than the archive"),
                false => format!("has {listed} where the archive holds {name}"),
            }));
        }
        Ok(line)
    }

    /// Fails when entries are left.
    pub(super) fn finish(mut self) -> Result<(), RestoreError> {
        match self.next().transpose()? {
            None => Ok(()),
            Some(line) => Err(self.damaged(format!("has {}, which the archive does not hold", show(&line.path.0)))),
        }
    }

    fn damaged(&self, problem: String) -> RestoreError {
        StreamError::damaged(&self.contents, problem).into()
    }
}

impl<F: Fn(&[u8]) -> bool> Iterator for Expected<F> {
    type Item = Result<EntryLine, StreamError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.list.next()? {
                Ok(Line::Entry(line)) if line.offset.is_some() && (self.filter)(&line.path.0) => return Some(Ok(line)),
                Ok(_) => {}
                Err(e) => return Some(Err(e)),
            }
        }
    }
}
