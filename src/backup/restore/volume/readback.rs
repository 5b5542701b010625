//! What the engine says a volume holds, against the contents list: in whatever order it tells it.

use std::{
    collections::{HashMap, HashSet},
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Read},
    path::Path,
};

use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::FillError;
use crate::{
    adapters::docker::ROOT_ENTRY,
    backup::restore::{RestoreError, compare::TreeComparison, error::show, expected::Expected},
    model::{
        contents::{EntryKind, EntryLine},
        units::count,
    },
    stream::{
        StreamError,
        hash::Sha,
        tar::{Entry, Event, Parser, TarError, hash_zeros},
    },
};

/// More differences than these are only counted.
const MAX_DIFFERENCES: usize = 1000;
/// Bytes that are read at once.
const READ_BYTES: usize = 1 << 18;
const SECOND: i128 = 1_000_000_000;

/// Of each entry little is kept: there may be very many.
struct Known {
    /// A digest of what is compared but for the time.
    facts: u128,
    /// The time, where the engine can keep it.
    mtime_ns: Option<i128>,
}

/// A comparison under way.
struct Comparer<'a> {
    contents: &'a Path,
    left_out: &'a HashSet<Vec<u8>>,
    expected: HashMap<u128, Known>,
    /// For each hard link of the list its target.
    links: HashMap<Vec<u8>, Vec<u8>>,
    /// The same as the engine tells it, which may begin with another name.
    found_links: HashMap<Vec<u8>, Vec<u8>>,
    seen: HashSet<u128>,
    /// Entries that are not as they were, to be told from the list once more.
    changed: HashMap<Vec<u8>, EntryLine>,
    seed: u64,
    found: TreeComparison,
    untold: usize,
    early: u64,
    with_attributes: u64,
    current: Option<(Box<Entry>, Sha)>,
}

/// Compares kind, mode, owner, time to the second, size, SHA-256, link target and device of every entry, hard links with
/// their targets, and that nothing else is there. Blocking.
pub(super) fn compare(
    mut stream: impl Read,
    contents: &Path,
    left_out: &HashSet<Vec<u8>>,
    cancel: &CancellationToken,
) -> Result<TreeComparison, FillError> {
    let mut comparer = Comparer::new(contents, left_out)?;
    let (mut parser, mut buffer) = (Parser::default(), vec![0; READ_BYTES]);
    let volume = || contents.display().to_string();
    loop {
        if cancel.is_cancelled() {
            return Err(RestoreError::from(StreamError::Cancelled).into());
        }
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(FillError::Read { volume: volume(), source }),
        };
        let pushed: Result<(), TarError> = parser.push(&buffer[..length], &mut |event| {
            comparer.event(event, cancel);
            Ok(())
        });
        pushed.map_err(|source| FillError::Tar { volume: volume(), source })?;
    }
    parser.finish().map_err(|source| FillError::Tar { volume: volume(), source })?;
    Ok(comparer.finish()?)
}

/// What is compared of an entry but for its time. Linux has no modes of links.
fn facts(line: &EntryLine) -> [String; 6] {
    let mode = if line.kind == EntryKind::Symlink { 0 } else { line.mode & 0o7777 };
    [
        format!("{:?}", line.kind).to_lowercase(),
        format!("mode {mode:o}"),
        format!("owner {}:{}", line.uid, line.gid),
        format!("size {} SHA-256 {}", line.size, line.sha256.as_deref().unwrap_or("none")),
        format!("target {}", line.target.as_ref().map_or_else(|| "none".into(), |t| show(&t.0))),
        line.device.map_or_else(|| "device none".into(), |(major, minor)| format!("device {major}:{minor}")),
    ]
}

/// The engine keeps whole seconds, and some versions round them.
fn same_time(expected: i128, found: i128) -> bool {
    let floor = expected.div_euclid(SECOND);
    let found = found.div_euclid(SECOND);
    found == floor || (found == floor + 1 && expected.rem_euclid(SECOND) != 0)
}

impl<'a> Comparer<'a> {
    fn new(contents: &'a Path, left_out: &'a HashSet<Vec<u8>>) -> Result<Self, RestoreError> {
        let mut this = Self {
            contents,
            left_out,
            expected: HashMap::new(),
            links: HashMap::new(),
            found_links: HashMap::new(),
            seen: HashSet::new(),
            changed: HashMap::new(),
            seed: RandomState::new().build_hasher().finish(),
            found: TreeComparison::default(),
            untold: 0,
            early: 0,
            with_attributes: 0,
            current: None,
        };
        for line in Expected::open(contents, |_| true)? {
            let line = line.map_err(RestoreError::from)?;
            if left_out.contains(&line.path.0) {
                continue;
            }
            this.expect(line);
        }
        Ok(this)
    }

    fn expect(&mut self, line: EntryLine) {
        self.with_attributes += u64::from(!line.xattrs.is_empty());
        let mtime_ns = line.mtime_ns.parse::<i128>().ok().filter(|ns| *ns >= 0);
        self.early += u64::from(mtime_ns.is_none());
        let known = Known { facts: xxh3_128(facts(&line).join("\n").as_bytes()), mtime_ns };
        self.expected.insert(self.key(&line.path.0), known);
        if let (EntryKind::Hardlink, Some(target)) = (line.kind, line.target) {
            self.links.insert(line.path.0, target.0);
        }
    }

    fn key(&self, path: &[u8]) -> u128 {
        xxh3_128_with_seed(path, self.seed)
    }

    fn differs(&mut self, path: &[u8], how: &str) {
        if self.found.differences.len() < MAX_DIFFERENCES {
            self.found.differences.push(format!("{}: {how}", show(path)));
        } else {
            self.untold += 1;
        }
    }

    fn event(&mut self, event: Event<'_>, cancel: &CancellationToken) {
        match event {
            Event::Entry(entry, _) => self.current = Some((entry, Sha::default())),
            Event::Data(bytes) => {
                if let Some((_, sha)) = &mut self.current {
                    sha.update(bytes);
                }
            }
            Event::Hole(bytes) => {
                if let Some((_, sha)) = &mut self.current {
                    // Cancelled: the caller sees that next.
                    let _ = hash_zeros(sha, bytes, cancel);
                }
            }
            Event::EntryEnd => {
                if let Some((entry, sha)) = self.current.take() {
                    self.entry(&entry, sha);
                }
            }
        }
    }

    fn entry(&mut self, entry: &Entry, sha: Sha) {
        let inside = |path: &[u8]| match path.strip_prefix(ROOT_ENTRY.as_bytes()) {
            Some([b'/', rest @ ..]) if !rest.is_empty() => rest.to_vec(),
            _ => b".".to_vec(),
        };
        let path = inside(&entry.path);
        let key = self.key(&path);
        if !self.expected.contains_key(&key) {
            if path != b"." {
                self.differs(&path, "is not in the archive");
            }
            return;
        }
        self.seen.insert(key);
        self.found.entries += 1;
        if let (EntryKind::Hardlink, Some(target)) = (entry.kind, &entry.target) {
            self.found_links.insert(path, inside(target));
            return;
        }
        // The list may have the content under another name of the file.
        let listed = self.links.get(&path).unwrap_or(&path).clone();
        let is_file = entry.kind == EntryKind::File;
        self.found.files += u64::from(is_file);
        let line =
            EntryLine { xattrs: Vec::new(), xattrs_sha256: None, ..entry.line(is_file.then(|| sha.finish()), None) };
        let Some(known) = self.expected.get(&self.key(&listed)) else { return };
        let same = known.facts == xxh3_128(facts(&line).join("\n").as_bytes());
        let in_time = known.mtime_ns.is_none_or(|expected| same_time(expected, entry.mtime_ns));
        if !(same && in_time) && self.changed.len() < MAX_DIFFERENCES {
            self.changed.insert(listed, line);
        }
    }

    fn finish(mut self) -> Result<TreeComparison, RestoreError> {
        self.same_files();
        for line in Expected::open(self.contents, |_| true)? {
            let line = line.map_err(RestoreError::from)?;
            let path = &line.path.0;
            if let Some(found) = self.changed.remove(path) {
                self.tell(&line, &found);
            }
            if !self.left_out.contains(path) && !self.seen.contains(&self.key(path)) {
                self.differs(path, "is missing");
            }
        }
        if self.untold > 0 {
            self.found.differences.push(format!("and {} more", self.untold));
        }
        let not = &mut self.found.not_compared;
        not.push("fractions of seconds: the engine does not tell them".into());
        if self.with_attributes > 0 {
            let entries = count(self.with_attributes, "entry");
            not.push(format!("extended attributes and ACLs of {entries}: the engine does not tell them"));
        }
        if self.early > 0 {
            not.push(format!("times of {} from before 1970", count(self.early, "entry")));
        }
        Ok(self.found)
    }

    /// Names that were one file must be one again, and no others.
    fn same_files(&mut self) {
        let of =
            |links: &HashMap<Vec<u8>, Vec<u8>>, path: &[u8]| links.get(path).map_or_else(|| path.to_vec(), Vec::clone);
        let mut wrong = Vec::new();
        for (link, target) in &self.links {
            let seen = self.seen.contains(&self.key(link));
            if seen && of(&self.found_links, link) != of(&self.found_links, target) {
                wrong.push((link.clone(), format!("is not the same file as {}", show(target))));
            }
        }
        for (link, target) in &self.found_links {
            if of(&self.links, link) != of(&self.links, target) {
                wrong.push((link.clone(), format!("is the same file as {}", show(target))));
            }
        }
        for (path, how) in wrong {
            self.differs(&path, &how);
        }
    }

    fn tell(&mut self, line: &EntryLine, found: &EntryLine) {
        let (was, is) = (facts(line), facts(found));
        let mut told = false;
        for (was, is) in was.iter().zip(&is).filter(|(was, is)| was != is) {
            self.differs(&line.path.0, &format!("{is} instead of {was}"));
            told = true;
        }
        if !told {
            self.differs(&line.path.0, &format!("its time is {} instead of {}", found.mtime_ns, line.mtime_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        capture::archive::from_tar_stream,
        model::{
            contents::{Codec, ContentsKind},
            event::{EventSink, StepEvents},
        },
        stream::{
            artifact::ArtifactWriter,
            frames::Packing,
            tar::{END, encode, padding},
        },
    };

    fn entry(path: &str, kind: EntryKind) -> Entry {
        Entry {
            path: path.into(),
            kind,
            mode: 0o644,
            uid: 1,
            gid: 2,
            mtime_ns: 7 * SECOND + 500_000_000,
            size: 0,
            target: None,
            device: None,
            xattrs: Vec::new(),
            sparse: None,
        }
    }

    type Tree = Vec<(Entry, Vec<u8>)>;

    fn tree() -> Tree {
        let file = |path: &str, content: &str| {
            (Entry { size: content.len() as u64, ..entry(path, EntryKind::File) }, content.as_bytes().to_vec())
        };
        let link =
            |path: &str, kind, target: &str| (Entry { target: Some(target.into()), ..entry(path, kind) }, vec![]);
        vec![
            (entry("volume", EntryKind::Directory), vec![]),
            file("volume/a", "hello"),
            link("volume/hard", EntryKind::Hardlink, "volume/a"),
            file("volume/other", "hello"),
            link("volume/soft", EntryKind::Symlink, "a"),
        ]
    }

    fn tar(tree: &Tree) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (entry, content) in tree {
            encode(entry, &mut bytes).unwrap();
            bytes.extend_from_slice(content);
            bytes.extend_from_slice(padding(content.len() as u64));
        }
        bytes.extend_from_slice(&END);
        bytes
    }

    fn differences(change: impl FnOnce(&mut Tree)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let packing = Packing { codec: Codec::Gzip, level: 1, workers: 0 };
        let artifact = ArtifactWriter::create(dir.path(), "a.tar.gz", ContentsKind::Tree, packing).unwrap();
        let never = CancellationToken::new();
        let events = StepEvents::new(EventSink::none(), "v".parse().unwrap());
        let captured =
            from_tar_stream(&tar(&tree())[..], "a test", Some(ROOT_ENTRY), artifact, &never, &events).unwrap();
        let contents = dir.path().join(captured.packed.contents.file);
        let mut changed = tree();
        change(&mut changed);
        compare(&tar(&changed)[..], &contents, &HashSet::new(), &never).unwrap().differences
    }

    #[test]
    fn the_same_is_the_same_whatever_the_order_and_the_fraction_of_a_second() {
        assert_eq!(differences(|_| {}), Vec::<String>::new());
        let other_way_round = |tree: &mut Tree| {
            tree[1].0.path = "volume/hard".into();
            (tree[2].0.path, tree[2].0.target) = ("volume/a".into(), Some("volume/hard".into()));
            tree.swap(3, 4);
            for (entry, _) in tree {
                entry.mtime_ns = 7 * SECOND;
            }
        };
        assert_eq!(differences(other_way_round), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named() {
        type Change = Box<dyn FnOnce(&mut Tree)>;
        let cases: Vec<(Change, &str)> = vec![
            (Box::new(|t| t[1].1 = b"hallo".to_vec()), "a: size 5 SHA-256"),
            (Box::new(|t| t[1].0.mode = 0o600), "a: mode 600 instead of mode 644"),
            (Box::new(|t| t[3].0.uid = 0), "other: owner 0:2 instead of owner 1:2"),
            (Box::new(|t| t[3].0.mtime_ns = 9 * SECOND), "other: its time is"),
            (Box::new(|t| t[4].0.target = Some("b".into())), "soft: target b instead of target a"),
            (Box::new(|t| drop(t.remove(3))), "other: is missing"),
            (Box::new(|t| t[3].0.path = "volume/more".into()), "more: is not in the archive"),
            (
                Box::new(|t| t[2] = (Entry { path: "volume/hard".into(), ..t[1].0.clone() }, t[1].1.clone())),
                "hard: is not the same file as a",
            ),
            (
                Box::new(|t| {
                    t[3] = (Entry { path: "volume/other".into(), ..t[2].0.clone() }, vec![]);
                }),
                "other: is the same file as a",
            ),
            (Box::new(|t| t[0].0.mode = 0o755), ".: mode 755 instead of mode 644"),
        ];
        for (change, said) in cases {
            let found = differences(change);
            assert!(found.iter().any(|difference| difference.starts_with(said)), "{said}: {found:?}");
        }
    }
}
