//! The directories that a walk is in. A tree may be deeper than a process may have files open: only the deepest are kept
//! open, the others are opened again from below.

use std::{io, rc::Rc};

use crate::adapters::tree::{self, Dir, Listing};

/// How many directories are open at once.
const MOST_OPEN: usize = 64;

/// A directory whose names are being stored.
pub(super) struct Level {
    pub(super) listing: Listing,
    /// The name that comes next.
    pub(super) next: usize,
    /// Length of its name in the archive.
    pub(super) path: usize,
    /// Length of its real path.
    pub(super) shown: usize,
}

struct Entered {
    /// `None`: closed, for others lie too deep below it.
    dir: Option<Rc<Dir>>,
    /// Device and inode.
    identity: (u64, u64),
    level: Level,
}

/// The directories from the root to the current one.
#[derive(Default)]
pub(super) struct Levels(Vec<Entered>);

impl Levels {
    /// The current directory.
    pub(super) fn here(&mut self) -> Option<(&mut Level, Rc<Dir>)> {
        let here = self.0.last_mut()?;
        Some((&mut here.level, here.dir.clone()?))
    }

    /// Makes a directory of the current one the current one.
    pub(super) fn enter(&mut self, dir: Dir, identity: (u64, u64), level: Level) {
        self.0.push(Entered { dir: Some(Rc::new(dir)), identity, level });
        if let Some(far) = self.0.len().checked_sub(MOST_OPEN + 1) {
            self.0[far].dir = None;
        }
    }

    /// Goes back to the directory that the current one was entered from.
    ///
    /// # Errors
    /// As openat(2); and when the current one has been moved elsewhere.
    pub(super) fn leave(&mut self) -> io::Result<()> {
        let (Some(left), Some(back)) = (self.0.pop(), self.0.last_mut()) else { return Ok(()) };
        let (Some(from), None) = (left.dir, &back.dir) else { return Ok(()) };
        let dir = tree::open_dir(Some(&from), b"..")?;
        if dir.facts()?.identity != back.identity {
            return Err(io::Error::other("it was moved elsewhere meanwhile"));
        }
        back.dir = Some(Rc::new(dir));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::ffi::OsStrExt, path::Path};

    use super::*;

    fn enter(levels: &mut Levels, name: &[u8]) {
        let from = levels.here().map(|(_, dir)| dir);
        let dir = tree::open_dir(from.as_deref(), name).unwrap();
        let level = Level { listing: dir.list().unwrap(), next: 0, path: 0, shown: 0 };
        let identity = dir.facts().unwrap().identity;
        levels.enter(dir, identity, level);
    }

    /// Goes down `depth` directories below `top`.
    fn down(top: &Path, depth: usize) -> Levels {
        let mut levels = Levels::default();
        enter(&mut levels, top.as_os_str().as_bytes());
        (0..depth).for_each(|_| enter(&mut levels, b"d"));
        levels
    }

    #[test]
    fn few_are_open_and_the_way_back_is_the_way_down() {
        let top = tempfile::tempdir().unwrap();
        let depth = 3 * MOST_OPEN;
        fs::create_dir_all(top.path().join(vec!["d"; depth].join("/"))).unwrap();
        let mut levels = down(top.path(), depth);
        while let Some(at) = levels.0.len().checked_sub(1) {
            assert!(levels.0.iter().filter(|entered| entered.dir.is_some()).count() <= MOST_OPEN);
            let expected = levels.0[at].identity;
            assert_eq!(levels.here().unwrap().1.facts().unwrap().identity, expected);
            levels.leave().unwrap();
        }
        assert!(levels.here().is_none());
    }

    #[test]
    fn a_directory_that_was_moved_leads_nowhere_else() {
        let (top, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(top.path().join(vec!["d"; MOST_OPEN + 1].join("/"))).unwrap();
        let mut levels = down(top.path(), MOST_OPEN + 1);
        fs::rename(top.path().join("d/d"), elsewhere.path().join("d")).unwrap();
        let error = (0..MOST_OPEN + 1).find_map(|_| levels.leave().err()).unwrap();
        assert!(error.to_string().contains("moved elsewhere"), "{error}");
    }
}
