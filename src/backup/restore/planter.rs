//! Plants entries, one after the other, in any order that an archive may have.
//!
//! Directories are open to their owner while something is planted in them; owner, mode and time are set when the next
//! entry lies elsewhere. One that is entered again gets back what it had. So memory grows with the depth, not with the
//! number of entries.

use std::{
    collections::{HashMap, HashSet},
    io,
};

use rustix::fs::FileType;

use super::{
    RestoreError,
    error::{OPENING, show},
    names::{is_in, split},
};
use crate::{
    adapters::{
        plant::{Attributes, Ground, Planted},
        tree::{Facts, RawXattr},
    },
    model::contents::EntryKind,
    stream::tar::{ACL_ACCESS, ACL_DEFAULT, Entry, acl_of_text},
};

/// More remarks than these are only counted.
const MAX_SKIPPED: usize = 1000;
/// For directories that the archive does not have itself, as mkdir(1) makes them.
const IMPLICIT_MODE: u32 = 0o755;

/// A directory that is still open to its owner.
struct OpenDir {
    path: Vec<u8>,
    then: Then,
}

enum Then {
    Entry(Box<Entry>),
    AsItWas { mode: u32, mtime_ns: i128 },
}

/// Plants entries below a directory.
pub(super) struct Planter {
    ground: Ground,
    devices: bool,
    owners: bool,
    /// Where the content of a hard link's target is planted.
    links: HashMap<Vec<u8>, Vec<u8>>,
    places: HashSet<Vec<u8>>,
    /// What was planted at the places that links will name; `None`: it was skipped.
    identities: HashMap<Vec<u8>, Option<(u64, u64)>>,
    /// When their inodes were last changed, by this restore: an inode number may be used again.
    changed: HashMap<(u64, u64), i128>,
    open: Vec<OpenDir>,
    /// The directory of the last entry.
    here: Option<(Vec<u8>, Ground)>,
    /// Directories that no entry has told of yet.
    implicit: HashSet<Vec<u8>>,
    root: Option<Box<Entry>>,
    skipped: Vec<String>,
    more_skipped: u64,
}

/// What became of an entry.
pub(super) enum Became {
    /// A file is open for its content.
    File(Planted),
    Done,
    Skipped,
}

impl Planter {
    pub(super) fn new(ground: Ground, devices: bool, owners: bool, links: HashMap<Vec<u8>, Vec<u8>>) -> Self {
        Self {
            ground,
            devices,
            owners,
            places: links.values().cloned().collect(),
            links,
            identities: HashMap::new(),
            changed: HashMap::new(),
            open: Vec::new(),
            here: None,
            implicit: HashSet::new(),
            root: None,
            skipped: Vec::new(),
            more_skipped: 0,
        }
    }

    pub(super) fn skip(&mut self, path: &[u8], why: &str) {
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.push(format!("{}: {why}", show(path)));
        } else {
            self.more_skipped += 1;
        }
    }

    /// Plants an entry at its path; for a file, [`end`](Self::end) has to follow.
    pub(super) fn begin(&mut self, entry: &Entry) -> Result<Became, RestoreError> {
        let path = entry.path.as_slice();
        self.leave(path)?;
        if path == b"." {
            return match self.root.replace(Box::new(entry.clone())) {
                None => Ok(Became::Done),
                Some(_) => Err(RestoreError::Duplicate { entry: show(path) }),
            };
        }
        self.enter(split(path).0, path)?;
        match entry.kind {
            EntryKind::Directory => self.directory(entry)?,
            EntryKind::File => {
                let name = split(path).1;
                let file = self.here(path)?.make_file(name).map_err(|e| RestoreError::plant("creating", path, e))?;
                if entry.sparse.is_some() {
                    file.set_size(entry.size).map_err(|e| RestoreError::plant("making room for", path, e))?;
                }
                return Ok(Became::File(file));
            }
            EntryKind::Hardlink => return self.hard_link(entry),
            EntryKind::Symlink => {
                let target = entry.target.as_deref().unwrap_or_default();
                let made = self.here(path)?.make_link(split(path).1, target);
                made.map_err(|e| RestoreError::plant("creating the link", path, e))?;
                self.set_node(entry)?;
            }
            EntryKind::CharDevice | EntryKind::BlockDevice if !self.devices => {
                self.skip(path, "a device; they are made only on request");
                self.remember(path, None);
                return Ok(Became::Skipped);
            }
            EntryKind::CharDevice | EntryKind::BlockDevice | EntryKind::Fifo => self.node(entry)?,
            EntryKind::Socket => return Ok(Became::Skipped),
        }
        Ok(Became::Done)
    }

    /// Sets what belongs to a file whose content is there.
    pub(super) fn end(&mut self, entry: &Entry, file: &Planted) -> Result<(), RestoreError> {
        self.set(entry, file)?;
        self.remember_planted(&entry.path, file)
    }

    /// The next entry lies at `path`: directories that it does not lie in are done.
    fn leave(&mut self, path: &[u8]) -> Result<(), RestoreError> {
        while let Some(dir) = self.open.pop_if(|dir| dir.path == path || !is_in(path, &dir.path)) {
            let opened = self.ground.dir(&dir.path).and_then(|opened| opened.itself());
            let handle = opened.map_err(|e| RestoreError::plant(OPENING, &dir.path, e))?;
            match dir.then {
                Then::Entry(entry) => self.set(&entry, &handle)?,
                Then::AsItWas { mode, mtime_ns } => {
                    let set = handle.set_mode(mode).and_then(|()| handle.set_mtime(mtime_ns));
                    set.map_err(|e| RestoreError::plant("setting the attributes of", &dir.path, e))?;
                }
            }
        }
        Ok(())
    }

    /// Makes `dir` the directory in which the next entry, `path`, is planted.
    fn enter(&mut self, dir: &[u8], path: &[u8]) -> Result<(), RestoreError> {
        if self.here.as_ref().is_some_and(|(here, _)| here == dir) && self.is_ready(dir) {
            return Ok(());
        }
        let fail = |e| RestoreError::plant(OPENING, path, e);
        let ground = match self.ground.dir(dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.make_parents(dir, path)?;
                self.ground.dir(dir).map_err(fail)?
            }
            opened => opened.map_err(fail)?,
        };
        self.reopen(dir, &ground).map_err(fail)?;
        self.here = Some((dir.to_vec(), ground));
        Ok(())
    }

    fn is_ready(&self, dir: &[u8]) -> bool {
        dir == b"." || self.open.last().is_some_and(|open| open.path == dir) || self.implicit.contains(dir)
    }

    /// Remembers how a directory was that is entered again.
    fn reopen(&mut self, dir: &[u8], ground: &Ground) -> io::Result<()> {
        if self.is_ready(dir) {
            return Ok(());
        }
        let handle = ground.itself()?;
        let facts = handle.facts()?;
        if facts.mode & 0o300 != 0o300 {
            handle.set_mode(facts.mode | 0o300)?;
        }
        let then = Then::AsItWas { mode: facts.mode, mtime_ns: facts.mtime_ns };
        self.open.push(OpenDir { path: dir.to_vec(), then });
        Ok(())
    }

    fn make_parents(&mut self, dir: &[u8], path: &[u8]) -> Result<(), RestoreError> {
        let fail = |e| RestoreError::plant("creating the directory of", path, e);
        let ends = dir.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
        for end in ends.chain([dir.len()]) {
            let part = &dir[..end];
            match self.ground.dir(part) {
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(fail(e)),
            }
            let (parent, name) = split(part);
            let ground = self.ground.dir(parent).map_err(fail)?;
            self.reopen(parent, &ground).map_err(fail)?;
            ground.make_dir(name).map_err(fail)?;
            ground.planted(name).and_then(|handle| handle.set_mode(IMPLICIT_MODE)).map_err(fail)?;
            self.implicit.insert(part.to_vec());
        }
        Ok(())
    }

    fn here(&self, path: &[u8]) -> Result<&Ground, RestoreError> {
        let gone = || RestoreError::plant(OPENING, path, io::ErrorKind::NotFound.into());
        self.here.as_ref().map(|(_, ground)| ground).ok_or_else(gone)
    }

    fn directory(&mut self, entry: &Entry) -> Result<(), RestoreError> {
        let path = entry.path.as_slice();
        if !self.implicit.remove(path) {
            let made = self.here(path)?.make_dir(split(path).1);
            made.map_err(|e| RestoreError::plant("creating the directory", path, e))?;
        }
        self.open.push(OpenDir { path: path.to_vec(), then: Then::Entry(Box::new(entry.clone())) });
        Ok(())
    }

    fn node(&mut self, entry: &Entry) -> Result<(), RestoreError> {
        let kind = match entry.kind {
            EntryKind::CharDevice => FileType::CharacterDevice,
            EntryKind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let path = entry.path.as_slice();
        let made = self.here(path)?.make_node(split(path).1, kind, entry.device.unwrap_or_default());
        made.map_err(|e| RestoreError::plant("creating the node", path, e))?;
        self.set_node(entry)
    }

    fn set_node(&mut self, entry: &Entry) -> Result<(), RestoreError> {
        let path = entry.path.as_slice();
        let handle = self.here(path)?.planted(split(path).1).map_err(|e| RestoreError::plant("opening", path, e))?;
        self.set(entry, &handle)?;
        self.remember_planted(path, &handle)
    }

    fn hard_link(&mut self, entry: &Entry) -> Result<Became, RestoreError> {
        let path = entry.path.as_slice();
        let target = entry.target.as_deref().unwrap_or_default();
        let refuse = |problem| RestoreError::HardLink { entry: show(path), target: show(target), problem };
        if target == path {
            return Err(refuse("it names itself"));
        }
        let place = self.links.get(target).cloned().unwrap_or_else(|| target.to_vec());
        if place == path {
            // The content came under this name already, for its own name was not asked for.
            return match self.identities.contains_key(path) {
                true => Ok(Became::Skipped),
                false => Err(refuse("this restore has not planted its target before it")),
            };
        }
        let identity = match self.identities.get(&place) {
            Some(Some(identity)) => *identity,
            Some(None) => {
                self.skip(path, "a hard link to what was skipped");
                self.remember(path, None);
                return Ok(Became::Skipped);
            }
            None => return Err(refuse("this restore has not planted its target before it")),
        };
        let (dir, name) = split(&place);
        let from = self.ground.dir(dir).map_err(|e| RestoreError::plant(OPENING, target, e))?;
        let fail = |e| RestoreError::plant("linking", path, e);
        let swapped = "its target is not what this restore planted";
        // Somebody who may write here could have put another file in its place, even with the same inode number.
        let before = from.planted(name).and_then(|target| target.facts()).map_err(fail)?;
        if before.identity != identity || self.changed.get(&identity) != Some(&before.ctime_ns) {
            return Err(refuse(swapped));
        }
        let here = self.here(path)?;
        here.hard_link(split(path).1, &from, name).map_err(fail)?;
        let linked = here.planted(split(path).1).and_then(|link| link.facts()).map_err(fail)?;
        if linked.identity != identity {
            here.unlink(split(path).1).map_err(fail)?;
            return Err(refuse(swapped));
        }
        self.remember(path, Some(&linked));
        Ok(Became::Done)
    }

    fn remember_planted(&mut self, path: &[u8], handle: &Planted) -> Result<(), RestoreError> {
        if self.places.contains(path) {
            let facts = handle.facts().map_err(|e| RestoreError::plant("looking at", path, e))?;
            self.remember(path, Some(&facts));
        }
        Ok(())
    }

    /// Only what a link will name is kept.
    fn remember(&mut self, path: &[u8], facts: Option<&Facts>) {
        if let Some(facts) = facts {
            self.changed.insert(facts.identity, facts.ctime_ns);
        }
        if self.places.contains(path) {
            self.identities.insert(path.to_vec(), facts.map(|facts| facts.identity));
        }
    }

    fn set(&mut self, entry: &Entry, handle: &Planted) -> Result<(), RestoreError> {
        let xattrs = self.xattrs(entry);
        let attributes = Attributes {
            owner: self.owners.then_some((entry.uid, entry.gid)),
            // With another owner, setuid and setgid would lend the wrong user's rights.
            mode: if self.owners { entry.mode } else { entry.mode & 0o1777 },
            mtime_ns: entry.mtime_ns,
            xattrs: &xattrs,
        };
        let set = handle.set(&attributes);
        let refused = set.map_err(|e| RestoreError::plant("setting the attributes of", &entry.path, e))?;
        for name in refused {
            let name = show(&name);
            self.skip(&entry.path, &format!("the attribute {name}, which this user or file system cannot set"));
        }
        Ok(())
    }

    fn xattrs(&mut self, entry: &Entry) -> Vec<RawXattr> {
        let mut raw = Vec::with_capacity(entry.xattrs.len());
        for xattr in &entry.xattrs {
            if xattr.name != ACL_ACCESS && xattr.name != ACL_DEFAULT {
                raw.push((xattr.name.clone(), xattr.value.clone()));
            } else if let Ok(acl) = acl_of_text(&xattr.value) {
                raw.push((xattr.name.clone(), acl));
            } else {
                self.skip(&entry.path, "an ACL that names users of another host, or is damaged");
            }
        }
        raw
    }

    /// Ends all directories but the root.
    pub(super) fn settle(&mut self) -> Result<(), RestoreError> {
        self.leave(b".")
    }

    /// Writes everything to the disk.
    pub(super) fn sync(&self) -> Result<(), RestoreError> {
        self.ground.sync().map_err(|e| RestoreError::plant("writing to the disk", b".", e))
    }

    /// Gives a directory what the archive says about its root, if it says anything.
    pub(super) fn set_root(&mut self, handle: &Planted) -> Result<(), RestoreError> {
        match self.root.take() {
            Some(entry) => self.set(&entry, handle),
            None => Ok(()),
        }
    }

    /// What was not restored, and why.
    pub(super) fn into_skipped(mut self) -> Vec<String> {
        if self.more_skipped > 0 {
            self.skipped.push(format!("{} more", self.more_skipped));
        }
        self.skipped
    }
}
