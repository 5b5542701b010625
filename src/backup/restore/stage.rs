//! Where a restore grows: a private directory on the target's file system, which becomes the target at the end.
//!
//! A new target appears by one rename. An existing empty one, e.g. the mount point of a volume, keeps its inode: the
//! directory grows inside it, and its names are moved up at the end.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::RestoreError;
use crate::adapters::{
    clock,
    files::{self, FileError},
    plant::{self, Ground, Planted, uproot},
};

/// What the names of such directories hold.
const MARK: &str = ".maint-restore-";
/// How much of the target's name is kept in them: with mark and id they must stay below 255 bytes.
const NAME_BYTES: usize = 160;

/// A restore that has not come to its end; dropped, nothing is left of it.
#[derive(Debug)]
pub(super) struct Stage {
    /// The target.
    into: PathBuf,
    /// Where everything is planted meanwhile.
    dir: PathBuf,
    /// The target, where it was there.
    existing: Option<Ground>,
    /// Names that were moved into the existing target.
    moved: Vec<Vec<u8>>,
    done: bool,
}

enum Target {
    New { parent: PathBuf, prefix: Vec<u8> },
    Empty(Ground),
}

fn failed(operation: &'static str, path: &Path, e: io::Error) -> RestoreError {
    FileError::new(operation, path, e).into()
}

fn look(into: &Path) -> Result<Target, RestoreError> {
    let not_empty = |leftover| RestoreError::TargetNotEmpty { path: into.to_owned(), leftover };
    match Ground::open(into) {
        Ok(ground) => {
            let names = ground.names().map_err(|e| failed("reading the directory", into, e))?;
            let leftover = names.iter().find(|name| name.starts_with(MARK.as_bytes()));
            match names.is_empty() {
                true => Ok(Target::Empty(ground)),
                false => Err(not_empty(leftover.map(|name| into.join(OsStr::from_bytes(name))))),
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => new_target(into),
        // A file, or a link to wherever.
        Err(e) if e.kind() == io::ErrorKind::NotADirectory || plant::leads_out(&e) => Err(not_empty(None)),
        Err(e) => Err(failed("opening", into, e)),
    }
}

fn new_target(into: &Path) -> Result<Target, RestoreError> {
    let Some(name) = into.file_name() else {
        return Err(RestoreError::Target { path: into.to_owned(), problem: "it has no name of its own" });
    };
    let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let parent = parent.canonicalize().map_err(|e| failed("looking for the directory", parent, e))?;
    let name = name.as_bytes();
    let prefix = [b".", &name[..name.len().min(NAME_BYTES)], MARK.as_bytes()].concat();
    Ok(Target::New { parent, prefix })
}

/// The directory whose file system a restore to `into` fills, once `into` is found to be a possible target.
pub(super) fn filled(into: &Path) -> Result<PathBuf, RestoreError> {
    Ok(match look(into)? {
        Target::Empty(_) => into.to_owned(),
        Target::New { parent, .. } => parent,
    })
}

impl Stage {
    /// Makes the private directory; gives also what killed restores to the same target have left.
    pub(super) fn prepare(into: &Path) -> Result<(Self, Vec<PathBuf>), RestoreError> {
        let id = clock::run_id().to_string();
        let (parent, prefix, existing) = match look(into)? {
            Target::Empty(ground) => (into.to_owned(), MARK.as_bytes().to_vec(), Some(ground)),
            Target::New { parent, prefix } => (parent, prefix, None),
        };
        let ground = Ground::open(&parent).map_err(|e| failed("opening", &parent, e))?;
        let names = ground.names().map_err(|e| failed("reading the directory", &parent, e))?;
        let old = names.iter().filter(|name| name.starts_with(&prefix));
        let leftovers = old.map(|name| parent.join(OsStr::from_bytes(name))).collect();
        let name = [&prefix, id.as_bytes()].concat();
        let dir = parent.join(OsStr::from_bytes(&name));
        ground.make_dir(&name).map_err(|e| failed("creating the directory", &dir, e))?;
        Ok((Self { into: into.to_owned(), dir, existing, moved: Vec::new(), done: false }, leftovers))
    }

    /// The private directory.
    pub(super) fn ground(&self) -> Result<Ground, RestoreError> {
        Ground::open(&self.dir).map_err(|e| failed("opening", &self.dir, e))
    }

    /// Where everything is planted meanwhile.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the target of it. `root`: sets what the archive says about the target itself.
    pub(super) fn publish(
        &mut self,
        root: impl FnOnce(&Planted) -> Result<(), RestoreError>,
    ) -> Result<(), RestoreError> {
        let ground = self.ground()?;
        let moving = |e: io::Error| failed("moving what was restored into", &self.into, e);
        let taken = || RestoreError::TargetNotEmpty { path: self.into.clone(), leftover: None };
        let Some(target) = &self.existing else {
            root(&ground.itself().map_err(moving)?)?;
            if !files::rename_new(&self.dir, &self.into)? {
                return Err(taken());
            }
            self.done = true;
            return Ok(());
        };
        if target.names().map_err(moving)?.len() > 1 {
            return Err(taken());
        }
        for name in ground.names().map_err(moving)? {
            ground.rename_to(&name, target).map_err(moving)?;
            self.moved.push(name);
        }
        uproot(&self.dir).map_err(moving)?;
        root(&target.itself().map_err(moving)?)?;
        target.sync().map_err(moving)?;
        self.done = true;
        Ok(())
    }

    /// Removes everything that was planted.
    pub(super) fn abandon(&mut self) -> io::Result<()> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        if let Some(target) = &self.existing
            && !self.moved.is_empty()
        {
            // Back into one place, which is removed whole.
            if let Err(e) = target.make_dir(self.dir.file_name().unwrap_or_default().as_bytes())
                && e.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(e);
            }
            let ground = Ground::open(&self.dir)?;
            for name in self.moved.drain(..) {
                target.rename_to(&name, &ground)?;
            }
        }
        uproot(&self.dir)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A panic: nothing can be told any more.
        let _ = self.abandon();
    }
}
