//! Plants the files of an archive below one directory, and nowhere else.
//!
//! Every path is resolved by the kernel from an open directory with openat2(2), RESOLVE_BENEATH and
//! RESOLVE_NO_SYMLINKS: whatever an archive says, and whoever swaps names meanwhile, no operation leaves the
//! directory or follows a link. Nothing that is there is ever opened for writing: names are created, never reused.
//!
//! Errors are plain `io::Error`s: only the caller knows the whole path. [`leads_out`] tells which mean an escape.

mod attributes;
mod uproot;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
};

pub use attributes::{Attributes, Planted};
use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags},
    io::Errno,
};
pub use uproot::uproot;

use super::tree::Dir;

/// How long a path is given to the kernel at once (PATH_MAX is 4096).
const PIECE_BYTES: usize = 3800;

/// An open directory in which names are planted.
#[derive(Debug)]
pub struct Ground(OwnedFd);

/// Whether an error says that a path led out of the directory or over a link.
pub fn leads_out(error: &io::Error) -> bool {
    [Errno::LOOP, Errno::XDEV].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn beneath(dir: impl AsFd, path: &[u8], flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    fs::openat2(dir, path, flags | OFlags::CLOEXEC, mode, resolve)
}

/// Opens a directory below another one, however long the path.
pub(super) fn below(dir: impl AsFd, path: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let mut opened: Option<OwnedFd> = None;
    let mut rest = path;
    loop {
        let from = opened.as_ref().map_or_else(|| dir.as_fd(), AsFd::as_fd);
        if rest.len() <= PIECE_BYTES {
            return beneath(from, rest, flags, Mode::empty());
        }
        let cut = rest[..PIECE_BYTES].iter().rposition(|b| *b == b'/').ok_or(Errno::NAMETOOLONG)?;
        opened = Some(beneath(from, &rest[..cut], flags, Mode::empty())?);
        rest = &rest[cut + 1..];
    }
}

/// One component: the second lock on the door, for callers check paths themselves.
fn plain(name: &[u8]) -> io::Result<&[u8]> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return Err(Errno::INVAL.into());
    }
    Ok(name)
}

impl Ground {
    /// Opens a directory; a link in the last component is refused.
    ///
    /// # Errors
    /// As open(2).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(fs::open(path, flags, Mode::empty())?))
    }

    /// A directory that is open for reading already.
    ///
    /// # Errors
    /// When there are too many open files.
    pub fn of(dir: &Dir) -> io::Result<Self> {
        Ok(Self(dir.as_fd().try_clone_to_owned()?))
    }

    /// Gives a name another one, which must not exist yet.
    ///
    /// # Errors
    /// As renameat2(2); EEXIST when the name is taken.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        Ok(fs::renameat_with(&self.0, plain(from)?, &self.0, plain(to)?, RenameFlags::NOREPLACE)?)
    }

    /// Opens a directory below this one; `.` is this one again.
    ///
    /// # Errors
    /// As openat2(2); see [`leads_out`].
    pub fn dir(&self, path: &[u8]) -> io::Result<Self> {
        Ok(Self(below(&self.0, path, OFlags::PATH | OFlags::DIRECTORY)?))
    }

    /// Makes a directory, 0700.
    ///
    /// # Errors
    /// As mkdirat(2).
    pub fn make_dir(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::mkdirat(&self.0, plain(name)?, Mode::RWXU)?)
    }

    /// Makes a file, 0600, open for writing.
    ///
    /// # Errors
    /// As openat2(2); EEXIST when the name is taken, by whatever.
    pub fn make_file(&self, name: &[u8]) -> io::Result<Planted> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        Ok(Planted::file(beneath(&self.0, plain(name)?, flags, Mode::RUSR | Mode::WUSR)?))
    }

    /// Makes a symbolic link; where it points is never looked at.
    ///
    /// # Errors
    /// As symlinkat(2).
    pub fn make_link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        Ok(fs::symlinkat(target, &self.0, plain(name)?)?)
    }

    /// Makes a FIFO, or a device with major and minor number; 0600.
    ///
    /// # Errors
    /// As mknodat(2).
    pub fn make_node(&self, name: &[u8], kind: FileType, device: (u32, u32)) -> io::Result<()> {
        let device = fs::makedev(device.0, device.1);
        Ok(fs::mknodat(&self.0, plain(name)?, kind, Mode::RUSR | Mode::WUSR, device)?)
    }

    /// Gives what is planted at `name` of `from` a further name here; a link is linked, not followed.
    ///
    /// # Errors
    /// As linkat(2).
    pub fn hard_link(&self, name: &[u8], from: &Self, from_name: &[u8]) -> io::Result<()> {
        Ok(fs::linkat(&from.0, plain(from_name)?, &self.0, plain(name)?, AtFlags::empty())?)
    }

    /// Takes a name away that is no directory.
    ///
    /// # Errors
    /// As unlinkat(2).
    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(fs::unlinkat(&self.0, plain(name)?, AtFlags::empty())?)
    }

    /// A handle to what stands at a name, a link itself included: to set its attributes.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn planted(&self, name: &[u8]) -> io::Result<Planted> {
        Planted::node(beneath(&self.0, plain(name)?, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?)
    }

    /// A handle to this directory.
    ///
    /// # Errors
    /// As openat2(2).
    pub fn itself(&self) -> io::Result<Planted> {
        Planted::node(beneath(&self.0, b".", OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?)
    }

    /// Moves a name to another directory, where it must not exist yet.
    ///
    /// # Errors
    /// As renameat2(2).
    pub fn rename_to(&self, name: &[u8], to: &Self) -> io::Result<()> {
        let (name, flags) = (plain(name)?, RenameFlags::NOREPLACE);
        match fs::renameat_with(&self.0, name, &to.0, name, flags) {
            // A directory that its owner may not write cannot change its parent, except by root.
            Err(Errno::ACCESS) => {
                let node = self.planted(name)?;
                let mode = node.mode()?;
                node.set_mode(mode | 0o200)?;
                fs::renameat_with(&self.0, name, &to.0, name, flags)?;
                node.set_mode(mode)
            }
            moved => Ok(moved?),
        }
    }

    /// The names in this directory.
    ///
    /// # Errors
    /// As getdents(2).
    pub fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let open = beneath(&self.0, b".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let mut names = Vec::new();
        for entry in fs::Dir::new(open)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    /// Writes everything of the file system to the disk, and reports what could not be written.
    ///
    /// # Errors
    /// As syncfs(2).
    pub fn sync(&self) -> io::Result<()> {
        Ok(fs::syncfs(&self.0)?)
    }
}
