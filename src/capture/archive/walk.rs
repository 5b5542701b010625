//! Walks trees in sorted order, by open directories, following no links.

use std::{
    collections::HashMap,
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{fs::FileType, io::Errno};

use super::{
    ArchiveError, CapturedTree, TreeRequest, TreeRoot,
    content::FileReader,
    entry::{entry, kind_of, xattrs},
    levels::{Level, Levels},
    writer::TreeWriter,
};
use crate::{
    adapters::tree::{self, Dir, Facts},
    model::contents::EntryKind,
};

/// How often a name is looked at again when it is something else each time.
const SWAPS: u32 = 8;

/// Walks the roots of a request.
pub(super) struct Walker<'a> {
    request: &'a TreeRequest,
    writer: TreeWriter<'a>,
    reader: FileReader,
    /// Inodes with further names: the first name, and how many are still to come.
    links: HashMap<(u64, u64), (Vec<u8>, u64)>,
    levels: Levels,
    /// Name in the archive of what is looked at.
    path: Vec<u8>,
    /// Its real path, for messages.
    shown: Vec<u8>,
    device: u64,
}

/// What became of a look at a name.
enum Look {
    Done,
    /// It is something else now.
    Swapped,
}

impl<'a> Walker<'a> {
    pub(super) fn new(request: &'a TreeRequest, writer: TreeWriter<'a>) -> Result<Self, ArchiveError> {
        // Attributes of links and devices are read through it; see adapters/tree.
        let proc = Path::new("/proc/self/fd");
        tree::facts(None, b"/proc/self/fd").map_err(|e| ArchiveError::read("looking at", proc, e))?;
        Ok(Self {
            request,
            writer,
            reader: FileReader::new(),
            links: HashMap::new(),
            levels: Levels::default(),
            path: Vec::new(),
            shown: Vec::new(),
            device: 0,
        })
    }

    pub(super) fn run(mut self) -> Result<CapturedTree, ArchiveError> {
        for root in &self.request.roots {
            self.root(root)?;
            while let Some((level, dir)) = self.levels.here() {
                self.path.truncate(level.path);
                self.shown.truncate(level.shown);
                let Some((name, kind)) = level.listing.get(level.next) else {
                    self.levels.leave().map_err(|e| self.error("going back up from", e))?;
                    continue;
                };
                level.next += 1;
                join(&mut self.path, name);
                join(&mut self.shown, name);
                let name = name.to_vec();
                self.writer.check_cancel()?;
                self.name(&dir, &name, kind)?;
            }
        }
        self.writer.finish()
    }

    fn shown(&self) -> PathBuf {
        PathBuf::from(OsStr::from_bytes(&self.shown))
    }

    fn error(&self, operation: &'static str, error: impl Into<io::Error>) -> ArchiveError {
        ArchiveError::read(operation, &self.shown(), error)
    }

    fn root(&mut self, root: &TreeRoot) -> Result<(), ArchiveError> {
        let path = root.path.clone();
        self.path = root.name.clone().into_bytes();
        self.shown = path.as_os_str().as_bytes().to_vec();
        let facts = match tree::facts(None, &self.shown) {
            Ok(facts) => facts,
            Err(e) if is_gone(&e) => return Err(ArchiveError::Missing { path }),
            Err(e) => return Err(self.error("looking at", e)),
        };
        self.device = facts.identity.0;
        let looked = match facts.kind {
            FileType::Directory => self.directory(None, &self.shown.clone())?,
            FileType::RegularFile => self.file(None, &self.shown.clone())?,
            FileType::Symlink => return Err(ArchiveError::Link { path }),
            _ => return Err(ArchiveError::Special { path }),
        };
        match looked {
            Some(Look::Done) => Ok(()),
            Some(Look::Swapped) => Err(ArchiveError::Special { path }),
            None => Err(ArchiveError::Missing { path }),
        }
    }

    /// Stores a name of the current directory.
    fn name(&mut self, dir: &Dir, name: &[u8], listed: FileType) -> Result<(), ArchiveError> {
        if self.request.exclude.matches(&self.path) {
            return Ok(());
        }
        let mut kind = listed;
        let mut found = Some(Look::Swapped);
        for _ in 0..SWAPS {
            found = match kind {
                FileType::RegularFile => self.file(Some(dir), name)?,
                FileType::Directory => self.directory(Some(dir), name)?,
                FileType::Unknown => Some(Look::Swapped),
                _ => self.special(dir, name)?,
            };
            let Some(Look::Swapped) = found else { break };
            kind = match tree::facts(Some(dir), name) {
                Ok(facts) => facts.kind,
                Err(e) if is_gone(&e) => {
                    found = None;
                    break;
                }
                Err(e) => return Err(self.error("looking at", e)),
            };
        }
        match found {
            Some(Look::Done) => Ok(()),
            Some(Look::Swapped) => Err(ArchiveError::Changed { path: self.shown(), attempts: SWAPS }),
            None => {
                let warning = format!("{}: it vanished before it could be read", self.shown().display());
                self.writer.warn(warning);
                Ok(())
            }
        }
    }

    /// Turns the errors of a look at a name into what they mean; `None`: it is gone.
    fn looked<T>(
        &self,
        operation: &'static str,
        looked: io::Result<T>,
    ) -> Result<Result<T, Option<Look>>, ArchiveError> {
        match looked {
            Ok(found) => Ok(Ok(found)),
            Err(e) if is_gone(&e) => Ok(Err(None)),
            Err(e) if is_swapped(&e) => Ok(Err(Some(Look::Swapped))),
            Err(e) => Err(self.error(operation, e)),
        }
    }

    fn directory(&mut self, parent: Option<&Dir>, name: &[u8]) -> Result<Option<Look>, ArchiveError> {
        let dir = match self.looked("opening", tree::open_dir(parent, name))? {
            Ok(dir) => dir,
            Err(look) => return Ok(look),
        };
        let facts = dir.facts().map_err(|e| self.error("looking at", e))?;
        let mut entry = entry(&self.path, EntryKind::Directory, &facts);
        let raw = dir.xattrs().map_err(|e| self.error("reading the attributes of", e))?;
        entry.xattrs = xattrs(&self.path, raw)?;
        if self.request.one_file_system && facts.identity.0 != self.device {
            self.writer.bare(&entry, Some("another file system; not entered".into()))?;
            return Ok(Some(Look::Done));
        }
        self.writer.bare(&entry, None)?;
        let listing = dir.list().map_err(|e| self.error("listing", e))?;
        // What is in `.` has no prefix.
        let path = if self.path == b"." { 0 } else { self.path.len() };
        let shown = self.shown.len();
        self.levels.enter(dir, facts.identity, Level { listing, next: 0, path, shown });
        Ok(Some(Look::Done))
    }

    fn file(&mut self, parent: Option<&Dir>, name: &[u8]) -> Result<Option<Look>, ArchiveError> {
        let file = match self.looked("opening", tree::open_file(parent, name))? {
            Ok(file) => file,
            Err(look) => return Ok(look),
        };
        let facts = file.facts().map_err(|e| self.error("looking at", e))?;
        if facts.kind != FileType::RegularFile {
            return Ok(Some(Look::Swapped));
        }
        if self.hard_link(&facts)? {
            return Ok(Some(Look::Done));
        }
        let shown = self.shown();
        self.reader.store(&mut self.writer, &file, &self.path, &shown, &self.request.may_change)?;
        self.remember(&facts);
        Ok(Some(Look::Done))
    }

    /// Links, devices, FIFOs and sockets.
    fn special(&mut self, parent: &Dir, name: &[u8]) -> Result<Option<Look>, ArchiveError> {
        let facts = match self.looked("looking at", tree::facts(Some(parent), name))? {
            Ok(facts) => facts,
            Err(look) => return Ok(look),
        };
        let kind = match kind_of(facts.kind) {
            Some(EntryKind::File | EntryKind::Directory) => return Ok(Some(Look::Swapped)),
            Some(kind) => kind,
            None => return Err(ArchiveError::Special { path: self.shown() }),
        };
        let mut entry = entry(&self.path, kind, &facts);
        if kind == EntryKind::Socket {
            self.writer.list_only(&entry)?;
            return Ok(Some(Look::Done));
        }
        if self.hard_link(&facts)? {
            return Ok(Some(Look::Done));
        }
        if kind == EntryKind::Symlink {
            match self.looked("reading the link", tree::read_link(parent, name))? {
                Ok(target) => entry.target = Some(target),
                Err(look) => return Ok(look),
            }
        }
        match self.looked("reading the attributes of", tree::xattrs(parent, name))? {
            Ok(raw) => entry.xattrs = xattrs(&self.path, raw)?,
            Err(look) => return Ok(look),
        }
        self.writer.bare(&entry, None)?;
        self.remember(&facts);
        Ok(Some(Look::Done))
    }

    /// Stores a further name of an inode as a link to its first.
    fn hard_link(&mut self, facts: &Facts) -> Result<bool, ArchiveError> {
        let Some((first, left)) = self.links.get_mut(&facts.identity) else { return Ok(false) };
        let mut link = entry(&self.path, EntryKind::Hardlink, facts);
        link.target = Some(first.clone());
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.links.remove(&facts.identity);
        }
        self.writer.bare(&link, None)?;
        Ok(true)
    }

    fn remember(&mut self, facts: &Facts) {
        if facts.links > 1 {
            self.links.insert(facts.identity, (self.path.clone(), facts.links - 1));
        }
    }
}

/// The name is not there (any more); also when a directory on its way was removed.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

/// The name is something else than what it was opened as: a link (ELOOP), no directory (ENOTDIR), a socket (ENXIO).
fn is_swapped(error: &io::Error) -> bool {
    let codes = [Errno::LOOP, Errno::NOTDIR, Errno::NXIO].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

fn join(path: &mut Vec<u8>, name: &[u8]) {
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
}
