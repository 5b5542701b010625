//! From the bytes of an archive to planted entries: each is compared with its line of the contents list before it is
//! planted, and its content while it is written.

use tokio_util::sync::CancellationToken;

use super::{
    RestoreError,
    error::show,
    expected::Expected,
    planter::{Became, Planter},
    select::Selection,
    survey::Survey,
    tree::{Restored, TreeFiles},
};
use crate::{
    adapters::plant::Planted,
    model::contents::EntryKind,
    stream::{
        StreamError,
        hash::Sha,
        tar::{Entry, Event, Parser, TarError, hash_zeros},
    },
};

enum Stop {
    Tar(TarError),
    Restore(RestoreError),
}

impl From<TarError> for Stop {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

/// An entry whose content is coming.
struct Current {
    entry: Box<Entry>,
    sha: Sha,
    digest: Option<String>,
    file: Option<Planted>,
    at: u64,
    /// Whether a hole came since the last data.
    hole: bool,
    counts: bool,
}

/// Takes an archive in, in whole or in runs of entries.
pub(super) struct Extraction<'a, F> {
    files: &'a TreeFiles,
    selection: &'a Selection,
    survey: &'a Survey,
    cancel: &'a CancellationToken,
    expected: Expected<F>,
    planter: &'a mut Planter,
    parser: Parser,
    current: Option<Current>,
    restored: Restored,
    /// Contents are compared when they are read back.
    unhashed: bool,
}

impl<'a, F: Fn(&[u8]) -> bool> Extraction<'a, F> {
    pub(super) fn new(
        files: &'a TreeFiles,
        (selection, survey): (&'a Selection, &'a Survey),
        expected: Expected<F>,
        planter: &'a mut Planter,
        cancel: &'a CancellationToken,
    ) -> Self {
        Self {
            files,
            selection,
            survey,
            cancel,
            expected,
            planter,
            parser: Parser::default(),
            current: None,
            restored: Restored::default(),
            unhashed: false,
        }
    }

    /// Whether contents are taken as they come, for somebody reads them back and compares them.
    pub(super) fn leave_contents_to_comparison(&mut self, leave: bool) {
        self.unhashed = leave;
    }

    /// Goes on with the entries at `offset` of the plain stream.
    pub(super) fn go_to(&mut self, offset: u64) -> Result<(), RestoreError> {
        self.between()?;
        self.parser = Parser::at(offset);
        Ok(())
    }

    fn between(&self) -> Result<(), RestoreError> {
        match self.parser.is_between_entries() && self.current.is_none() {
            true => Ok(()),
            false => Err(self.damaged("an entry is longer than the contents list says".into())),
        }
    }

    fn damaged(&self, problem: String) -> RestoreError {
        StreamError::damaged(&self.files.packed, problem).into()
    }

    /// The entry that is being restored, for progress.
    pub(super) fn doing(&self) -> String {
        self.current.as_ref().map_or_else(String::new, |current| show(&current.entry.path))
    }

    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut parser = std::mem::take(&mut self.parser);
        let pushed = parser.push(bytes, &mut |event| self.event(event).map_err(Stop::Restore));
        self.parser = parser;
        pushed.map_err(|stop| match stop {
            Stop::Tar(e) => self.damaged(e.to_string()),
            Stop::Restore(e) => e,
        })
    }

    /// Says that nothing more comes. `whole`: the archive was read to its end mark.
    pub(super) fn finish(mut self, whole: bool) -> Result<Restored, RestoreError> {
        if whole {
            let ended = std::mem::take(&mut self.parser).finish();
            ended.map_err(|e| self.damaged(e.to_string()))?;
        }
        self.between()?;
        self.expected.finish()?;
        Ok(self.restored)
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), RestoreError> {
        match event {
            Event::Entry(entry, offset) => self.begin(*entry, offset),
            Event::Data(bytes) => self.data(bytes),
            Event::Hole(bytes) => self.hole(bytes),
            Event::EntryEnd => self.end(),
        }
    }

    fn begin(&mut self, mut entry: Entry, offset: u64) -> Result<(), RestoreError> {
        if self.cancel.is_cancelled() {
            return Err(StreamError::Cancelled.into());
        }
        let digest = self.expected.compare(&entry, offset)?.sha256;
        if !self.selection.matches(&entry.path)
            && let Some(place) = self.survey.links.get(&entry.path)
        {
            entry.path.clone_from(place);
        }
        let became = self.planter.begin(&entry)?;
        let counts = !matches!(became, Became::Skipped);
        let file = if let Became::File(file) = became { Some(file) } else { None };
        let entry = Box::new(entry);
        self.current = Some(Current { entry, sha: Sha::default(), digest, file, at: 0, hole: false, counts });
        Ok(())
    }

    fn data(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if self.cancel.is_cancelled() {
            return Err(StreamError::Cancelled.into());
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        if !self.unhashed {
            current.sha.update(bytes);
        }
        if let Some(file) = &mut current.file {
            let placed = if current.hole { file.skip_to(current.at) } else { Ok(()) };
            let written = placed.and_then(|()| file.write(bytes));
            written.map_err(|e| RestoreError::plant("writing", &current.entry.path, e))?;
        }
        current.hole = false;
        current.at += bytes.len() as u64;
        Ok(())
    }

    fn hole(&mut self, bytes: u64) -> Result<(), RestoreError> {
        let Some(current) = &mut self.current else { return Ok(()) };
        if !self.unhashed && !hash_zeros(&mut current.sha, bytes, self.cancel) {
            return Err(StreamError::Cancelled.into());
        }
        current.hole = true;
        current.at += bytes;
        Ok(())
    }

    fn end(&mut self) -> Result<(), RestoreError> {
        let Some(current) = self.current.take() else { return Ok(()) };
        let hashed = current.entry.kind == EntryKind::File && !self.unhashed;
        if hashed && Some(current.sha.finish()) != current.digest {
            let problem = format!("the content of {} is not what was captured", show(&current.entry.path));
            return Err(self.damaged(problem));
        }
        if let Some(file) = &current.file {
            self.planter.end(&current.entry, file)?;
            self.restored.files += 1;
            self.restored.bytes += current.entry.size;
        }
        self.restored.entries += u64::from(current.counts);
        Ok(())
    }
}
