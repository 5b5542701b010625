//! Finds the logs: every pattern is a directory and what its files are called below it. No link is followed on the way.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
};

use globset::{GlobBuilder, GlobMatcher};
use rustix::fs::FileType;

use super::names;
use crate::{
    adapters::tree::{self, Dir, Facts},
    upkeep::UpkeepError,
};

/// Whoever may write here may put anything in a log's place.
const OTHERS_WRITE: u32 = 0o002;
/// Where Docker's daemon keeps the logs of its containers; it alone may rotate them.
const DAEMONS: &str = "/var/lib/docker";

/// A pattern of `paths`, taken apart.
#[derive(Debug)]
pub struct Pattern {
    /// The directory; nothing outside of it is touched.
    pub base: PathBuf,
    matcher: GlobMatcher,
    /// How deep below the base a match can be; `None`: at any depth.
    depth: Option<usize>,
}

impl Pattern {
    /// Reads a pattern; relative ones are below `root`.
    ///
    /// # Errors
    /// When it is not a pattern of file names, leads up, or into Docker's own directory.
    pub fn new(root: &Path, text: &str) -> Result<Self, UpkeepError> {
        let refuse = |problem: String| UpkeepError::Pattern { pattern: text.to_owned(), problem };
        let is_glob = |part: &OsStr| part.as_bytes().iter().any(|b| b"*?[{\\".contains(b));
        let mut base = root.to_owned();
        let mut rest = PathBuf::new();
        let parts: Vec<Component<'_>> = Path::new(text).components().collect();
        for (at, part) in parts.iter().enumerate() {
            match part {
                Component::ParentDir => return Err(refuse("`..` is not allowed in it".into())),
                Component::CurDir => {}
                part if rest.as_os_str().is_empty() && at + 1 < parts.len() && !is_glob(part.as_os_str()) => {
                    base.push(part);
                }
                part => rest.push(part),
            }
        }
        if rest.as_os_str().is_empty() {
            return Err(refuse("it names no file; expected e.g. \"logs/**/*.log\"".into()));
        }
        if base.starts_with(DAEMONS) {
            return Err(refuse("these logs belong to Docker's daemon: set max-size of its log driver instead".into()));
        }
        let told = rest.to_string_lossy().into_owned();
        let glob = GlobBuilder::new(&told).literal_separator(true).build().map_err(|e| refuse(e.kind().to_string()))?;
        let depth = (!told.contains("**")).then(|| rest.components().count());
        Ok(Self { base, matcher: glob.compile_matcher(), depth })
    }

    fn takes(&self, dir: &Path, name: &[u8]) -> bool {
        self.matcher.is_match(dir.join(OsStr::from_bytes(name)))
    }

    /// Whether a name is that of a log, rotated or not.
    fn is_log(&self, dir: &Path, name: &[u8]) -> bool {
        self.takes(dir, name) || names::unstamped(name).is_some_and(|name| self.takes(dir, &name))
    }
}

/// A file among the logs.
#[derive(Debug, Clone)]
pub(super) struct Log {
    /// Its directory, relative to the base.
    pub(super) dir: PathBuf,
    /// Its name there.
    pub(super) name: Vec<u8>,
    /// What it was when it was found.
    pub(super) facts: Facts,
}

impl Log {
    /// Its path for people.
    pub(super) fn path(&self, base: &Path) -> String {
        base.join(&self.dir).join(OsStr::from_bytes(&self.name)).display().to_string()
    }
}

/// What is below a pattern's base.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Logs, rotated or not.
    pub(super) logs: Vec<Log>,
    /// Packed logs.
    pub(super) packed: Vec<Log>,
    /// What a killed maint left: directory, name, what it is.
    pub(super) leftovers: Vec<(PathBuf, names::Leftover)>,
    /// Directories that everybody may write, and that are left alone.
    pub(super) open_to_all: Vec<PathBuf>,
    /// Files with further names, which are left alone.
    pub(super) linked: Vec<Log>,
    /// Names that are too long to be rotated.
    pub(super) long: Vec<Log>,
    /// Directories that could not be read, and why.
    pub(super) unread: Vec<(PathBuf, io::Error)>,
}

/// Looks through everything below the base.
pub(super) fn find(pattern: &Pattern, base: &Dir) -> Found {
    let mut found = Found::default();
    let mut todo = vec![PathBuf::new()];
    while let Some(dir) = todo.pop() {
        if let Err(error) = look(pattern, base, &dir, &mut todo, &mut found) {
            found.unread.push((dir, error));
        }
    }
    found
}

/// Opens a directory below the base; the empty path is the base again.
pub(super) fn open(base: &Dir, dir: &Path) -> io::Result<Dir> {
    let path = if dir.as_os_str().is_empty() { b"." } else { dir.as_os_str().as_bytes() };
    tree::open_below(base, path)
}

fn look(pattern: &Pattern, base: &Dir, at: &Path, todo: &mut Vec<PathBuf>, found: &mut Found) -> io::Result<()> {
    let dir = open(base, at)?;
    if dir.facts()?.mode & OTHERS_WRITE != 0 {
        found.open_to_all.push(at.to_owned());
        return Ok(());
    }
    let listing = dir.list()?;
    let deeper = pattern.depth.is_none_or(|depth| at.components().count() + 1 < depth);
    let mut index = 0;
    while let Some((name, kind)) = listing.get(index) {
        index += 1;
        if kind != FileType::Directory {
            sort(pattern, &dir, at, name, found)?;
        }
        let is_dir = kind == FileType::Directory
            || kind == FileType::Unknown && tree::facts(Some(&dir), name)?.kind == FileType::Directory;
        if is_dir && deeper {
            todo.push(at.join(OsStr::from_bytes(name)));
        }
    }
    Ok(())
}

/// Puts a file where it belongs.
fn sort(pattern: &Pattern, dir: &Dir, at: &Path, name: &[u8], found: &mut Found) -> io::Result<()> {
    let left = names::leftover(name).filter(|left| {
        let (names::Leftover::Hidden(own) | names::Leftover::Temporary(own)) = left;
        pattern.is_log(at, own)
    });
    let of_packed = name.strip_suffix(names::PACKED).filter(|own| pattern.is_log(at, own));
    if left.is_none() && of_packed.is_none() && !pattern.is_log(at, name) {
        return Ok(());
    }
    let facts = match tree::facts(Some(dir), name) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match left {
        // Whatever has the name of a copy that was not finished is in the way of one, a link too.
        Some(left @ names::Leftover::Temporary(_)) if facts.kind != FileType::Directory => {
            found.leftovers.push((at.to_owned(), left));
            return Ok(());
        }
        Some(left) if facts.kind == FileType::RegularFile => {
            found.leftovers.push((at.to_owned(), left));
            return Ok(());
        }
        _ => {}
    }
    if facts.kind != FileType::RegularFile {
        return Ok(());
    }
    let log = Log { dir: at.to_owned(), name: name.to_vec(), facts };
    match of_packed {
        _ if facts.links > 1 => found.linked.push(log),
        Some(_) => found.packed.push(log),
        None if !names::fits(name) => found.long.push(log),
        // A pattern such as `*` takes packed ones for logs too.
        None => found.logs.push(log),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_taken_apart() {
        let root = Path::new("/srv/app");
        let pattern = Pattern::new(root, "logs/**/*.log").unwrap();
        assert_eq!(pattern.base, Path::new("/srv/app/logs"));
        assert!(pattern.is_log(Path::new(""), b"a.log") && pattern.is_log(Path::new("x/y"), b"a.log"));
        assert!(pattern.is_log(Path::new("x"), b"a-20260823T043000Z.log") && !pattern.is_log(Path::new(""), b"a.txt"));
        let flat = Pattern::new(root, "/var/log/nginx/*.log").unwrap();
        assert_eq!((flat.base.as_path(), flat.depth), (Path::new("/var/log/nginx"), Some(1)));
        assert!(!flat.is_log(Path::new("x"), b"a.log"));
        let one = Pattern::new(root, "app.log").unwrap();
        assert!(one.base == root && one.is_log(Path::new(""), b"app-20260823T043000Z.log"));
        for odd in ["", "../x.log", "logs/../*.log", "/var/lib/docker/containers/*/*.log", "logs/[.log"] {
            assert!(Pattern::new(root, odd).is_err(), "{odd}");
        }
    }
}
