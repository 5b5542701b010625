//! A restored tree against the contents list of its archive: nothing different, nothing less and nothing more.

mod links;

use std::{
    collections::{HashMap, HashSet},
    ffi::OsStr,
    hash::{BuildHasher, Hasher, RandomState},
    io,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use rustix::fs::FileType;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::{RestoreError, error::show, names, names::split, survey};
use crate::{
    adapters::{
        files::FileError,
        host,
        tree::{self, Dir, Facts},
    },
    capture::archive,
    model::{
        contents::{EntryKind, EntryLine, Line},
        units::count,
    },
    stream::{
        StreamError,
        hash::Sha,
        tar::{MAX_SEGMENTS, hash_zeros},
    },
};

/// More differences than these are only counted.
const MAX_DIFFERENCES: u64 = 1000;
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;

/// What a comparison found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeComparison {
    /// Entries that were compared.
    pub entries: u64,
    /// Files whose whole content was read.
    pub files: u64,
    /// What differs, in words; empty: the tree is what was captured.
    pub differences: Vec<String>,
    /// What could not be compared, in words.
    pub not_compared: Vec<String>,
}

/// Compares a restored tree with the contents list: of every entry kind, mode, owner, time, size, SHA-256, link target,
/// attributes and device; hard links with their targets; and that nothing else is there. Sockets were never stored.
/// Without root, owners are not compared, nor what only root can set or read; `not_compared` says so.
///
/// # Errors
/// When the list or the tree cannot be read, or `cancel` fired.
pub fn compare_tree(dir: &Path, contents: &Path, cancel: &CancellationToken) -> Result<TreeComparison, RestoreError> {
    let mut comparer = Comparer::new(dir, cancel)?;
    let (mut links, mut expected_links) = (links::Links::new(), HashMap::new());
    for line in survey::open(contents)? {
        if let Line::Entry(EntryLine { kind: EntryKind::Hardlink, target: Some(target), .. }) = line? {
            *expected_links.entry(target.0.clone()).or_insert(1_u64) += 1;
            links.insert(target.0, None);
        }
    }
    for line in survey::open(contents)? {
        let Line::Entry(line) = line? else { continue };
        if cancel.is_cancelled() {
            return Err(StreamError::Cancelled.into());
        }
        names::check(&line.path.0)?;
        if line.offset.is_none() {
            comparer.mark(&line.path.0);
        } else {
            let facts = comparer.entry(&line)?;
            comparer.linked(&line, facts, &mut links, &expected_links);
        }
    }
    comparer.nothing_more()?;
    Ok(comparer.finish())
}

struct Comparer<'a> {
    path: &'a Path,
    root: Dir,
    cancel: &'a CancellationToken,
    is_root: bool,
    /// The directory of the last entry.
    here: Option<(Vec<u8>, Dir)>,
    /// Digests of the paths that the list has, and of the directories that these lie in.
    listed: HashSet<u128>,
    /// So that nobody can choose names with equal digests.
    seed: u64,
    found: TreeComparison,
    more: u64,
    attributes_left_out: u64,
    buffer: Vec<u8>,
}

/// Whether only root can set and read an attribute.
fn is_roots(name: &str) -> bool {
    !name.starts_with("user.") && !name.starts_with("system.posix_acl_")
}

impl<'a> Comparer<'a> {
    fn new(path: &'a Path, cancel: &'a CancellationToken) -> Result<Self, RestoreError> {
        let root = tree::open_dir(None, path.as_os_str().as_bytes()).map_err(|e| FileError::new("opening", path, e))?;
        let seed = RandomState::new().build_hasher().finish();
        Ok(Self {
            path,
            root,
            cancel,
            is_root: host::is_root(),
            here: None,
            listed: HashSet::new(),
            seed,
            found: TreeComparison::default(),
            more: 0,
            attributes_left_out: 0,
            buffer: vec![0; READ_BYTES],
        })
    }

    fn differs(&mut self, path: &[u8], how: impl AsRef<str>) {
        if (self.found.differences.len() as u64) < MAX_DIFFERENCES {
            self.found.differences.push(format!("{}: {}", show(path), how.as_ref()));
        } else {
            self.more += 1;
        }
    }

    fn failed(&self, operation: &'static str, path: &[u8], e: io::Error) -> RestoreError {
        FileError::new(operation, &self.path.join(OsStr::from_bytes(path)), e).into()
    }

    fn mark(&mut self, path: &[u8]) {
        let mut path = path;
        while self.listed.insert(xxh3_128_with_seed(path, self.seed)) && path != b"." {
            path = split(path).0;
        }
    }

    fn is_listed(&self, path: &[u8]) -> bool {
        self.listed.contains(&xxh3_128_with_seed(path, self.seed))
    }

    fn finish(mut self) -> TreeComparison {
        if self.more > 0 {
            self.found.differences.push(format!("{} more", count(self.more, "difference")));
        }
        if !self.is_root {
            self.found.not_compared.push("owners, setuid and setgid bits: only root can set them".into());
        }
        if self.attributes_left_out > 0 {
            let files = count(self.attributes_left_out, "file");
            self.found.not_compared.push(format!("attributes of {files} that only root can set"));
        }
        self.found
    }

    /// Opens the directory of an entry.
    fn enter(&mut self, dir: &[u8]) -> io::Result<()> {
        if self.here.as_ref().is_none_or(|(here, _)| here != dir) {
            self.here = Some((dir.to_vec(), tree::open_below(&self.root, dir)?));
        }
        Ok(())
    }

    /// Compares one entry; gives its facts where it is there.
    fn entry(&mut self, line: &EntryLine) -> Result<Option<Facts>, RestoreError> {
        let path = line.path.0.as_slice();
        self.mark(path);
        self.found.entries += 1;
        let (dir, name) = split(path);
        match self.look(dir, name) {
            Ok(facts) => {
                self.compare(line, &facts)?;
                Ok(Some(facts))
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.differs(path, "is missing");
                Ok(None)
            }
            // So the kernel says it also of a link in a directory's place.
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                self.differs(path, "is missing: what it lay in is no directory");
                Ok(None)
            }
            Err(e) => Err(self.failed("looking at", path, e)),
        }
    }

    fn look(&mut self, dir: &[u8], name: &[u8]) -> io::Result<Facts> {
        self.enter(dir)?;
        tree::facts(self.here.as_ref().map(|(_, dir)| dir), name)
    }

    fn compare(&mut self, line: &EntryLine, facts: &Facts) -> Result<(), RestoreError> {
        let path = line.path.0.as_slice();
        let Some((_, here)) = &self.here else { return Ok(()) };
        let name = split(path).1;
        let raw = match facts.kind {
            FileType::Directory => tree::open_dir(Some(here), name).and_then(|dir| dir.xattrs()),
            _ => tree::xattrs(here, name),
        };
        let raw = raw.map_err(|e| self.failed("reading the attributes of", path, e))?;
        let Ok(Some(mut entry)) = archive::described(path, facts, raw) else {
            self.differs(path, "cannot be described: an ACL or a kind of file that is not known");
            return Ok(());
        };
        if entry.kind == EntryKind::Symlink {
            entry.target = Some(tree::read_link(here, name).map_err(|e| self.failed("reading the link", path, e))?);
        }
        // A hard link is what its target is; that it is the same is compared by its inode.
        let is_link = line.kind == EntryKind::Hardlink;
        let sha256 = if line.kind == EntryKind::File && entry.kind == EntryKind::File {
            self.found.files += 1;
            Some(self.digest(name, facts.size).map_err(|e| match e {
                Some(e) => self.failed("reading", path, e),
                None => StreamError::Cancelled.into(),
            })?)
        } else {
            None
        };
        let found = entry.line(sha256, None);
        for how in self.fields(line, &found, is_link) {
            self.differs(path, how);
        }
        Ok(())
    }

    fn fields(&mut self, line: &EntryLine, found: &EntryLine, is_link: bool) -> Vec<String> {
        let mut differences = Vec::new();
        let mut field = |what: &str, was: &dyn std::fmt::Display, is: &dyn std::fmt::Display| {
            let (was, is) = (was.to_string(), is.to_string());
            if was != is {
                differences.push(format!("{what} is {is} instead of {was}"));
            }
        };
        let word = |kind: EntryKind| format!("{kind:?}").to_lowercase();
        let number = |device: Option<(u32, u32)>| device.map_or_else(|| "none".into(), |(a, b)| format!("{a}:{b}"));
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        // Linux has no modes of links.
        let mask = match (line.kind, self.is_root) {
            (EntryKind::Symlink, _) => 0,
            (_, true) => 0o7777,
            (_, false) => 0o1777,
        };
        field("its mode", &format!("{:o}", line.mode & mask), &format!("{:o}", found.mode & mask));
        field("its time", &line.mtime_ns, &found.mtime_ns);
        if self.is_root {
            field("its owner", &format!("{}:{}", line.uid, line.gid), &format!("{}:{}", found.uid, found.gid));
        }
        if !is_link {
            field("it", &word(line.kind), &word(found.kind));
            field("its size", &line.size, &found.size);
            field("its SHA-256", &text(&line.sha256), &text(&found.sha256));
            let target = |line: &EntryLine| line.target.as_ref().map_or("nowhere".into(), |t| show(&t.0));
            field("where it points", &target(line), &target(found));
            field("its device", &number(line.device), &number(found.device));
        }
        let attributes = |line: &EntryLine| format!("{} ({})", text(&line.xattrs_sha256), line.xattrs.join(", "));
        if self.is_root || !line.xattrs.iter().any(|name| is_roots(name)) {
            field("the digest of its attributes", &attributes(line), &attributes(found));
        } else {
            self.attributes_left_out += 1;
        }
        differences
    }

    /// SHA-256 of a file of the current directory, without reading its holes. `None` as an error: cancelled.
    fn digest(&mut self, name: &[u8], size: u64) -> Result<String, Option<io::Error>> {
        let Some((_, here)) = &self.here else { return Err(None) };
        let file = tree::open_file(Some(here), name)?;
        let mut sha = Sha::default();
        let mut at = 0;
        for (offset, bytes) in file.data(size, MAX_SEGMENTS)?.into_iter().chain([(size, 0)]) {
            if !hash_zeros(&mut sha, offset - at, self.cancel) {
                return Err(None);
            }
            at = offset;
            while at < offset + bytes {
                let length = usize::try_from(offset + bytes - at).unwrap_or(usize::MAX).min(READ_BYTES);
                let got = file.read_at(&mut self.buffer[..length], at)?;
                if got == 0 || self.cancel.is_cancelled() {
                    return if got == 0 { Ok("of a file that shrank".into()) } else { Err(None) };
                }
                sha.update(&self.buffer[..got]);
                at += got as u64;
            }
        }
        Ok(sha.finish())
    }
}
