//! Content, owner, mode, attributes and time of what was planted.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use rustix::{
    fs::{self, AtFlags, FileType, Gid, Mode, SeekFrom, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags},
    io::Errno,
};

use crate::adapters::tree::{Facts, RawXattr};

/// ACLs that a directory passes on to what is made in it.
const INHERITED: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

/// What is set once the content is there.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// User and group; `None`: whoever restores.
    pub owner: Option<(u32, u32)>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Extended attributes in the kernel's form.
    pub xattrs: &'a [RawXattr],
}

/// A handle to one planted file, directory, link or node.
#[derive(Debug)]
pub struct Planted {
    fd: OwnedFd,
    kind: FileType,
    /// Whether `fd` is open as a file, not as a mere place (O_PATH).
    file: bool,
}

impl Planted {
    pub(super) fn file(fd: OwnedFd) -> Self {
        Self { fd, kind: FileType::RegularFile, file: true }
    }

    pub(super) fn node(fd: OwnedFd) -> io::Result<Self> {
        let kind = FileType::from_raw_mode(fs::fstat(&fd)?.st_mode);
        Ok(Self { fd, kind, file: false })
    }

    /// What it is.
    pub fn kind(&self) -> FileType {
        self.kind
    }

    /// What stat(2) tells.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn facts(&self) -> io::Result<Facts> {
        Ok(fs::fstat(&self.fd)?.into())
    }

    /// Writes content at the current place.
    ///
    /// # Errors
    /// As write(2).
    pub fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.fd, bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Leaves a hole up to `offset`.
    ///
    /// # Errors
    /// As lseek(2).
    pub fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        Ok(fs::seek(&self.fd, SeekFrom::Start(offset)).map(drop)?)
    }

    /// Makes a file as long as it will be, all hole.
    ///
    /// # Errors
    /// As ftruncate(2); EFBIG when the file system cannot hold such a file.
    pub fn set_size(&self, bytes: u64) -> io::Result<()> {
        Ok(fs::ftruncate(&self.fd, bytes)?)
    }

    /// The kernel's name for the handle: leads to it and nowhere else, a link included.
    fn magic(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_raw_fd())
    }

    /// Its permission bits.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn mode(&self) -> io::Result<u32> {
        Ok(self.facts()?.mode)
    }

    /// Sets permission bits; links have none.
    ///
    /// # Errors
    /// As chmod(2).
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode);
        let set = match self.kind {
            FileType::Symlink => Ok(()),
            _ if self.file => fs::fchmod(&self.fd, mode),
            _ => fs::chmod(self.magic(), mode),
        };
        Ok(set?)
    }

    /// Sets everything in the order in which nothing undoes what came before: a new owner takes setuid bits and
    /// capabilities away, a mode is part of an ACL, and whatever is set must not move the time. Gives the attributes that
    /// this user or file system cannot have.
    ///
    /// # Errors
    /// As chown(2), setxattr(2), chmod(2) and utimensat(2).
    pub fn set(&self, attributes: &Attributes<'_>) -> io::Result<Vec<Vec<u8>>> {
        if let Some((uid, gid)) = attributes.owner {
            let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            fs::chownat(&self.fd, "", uid, gid, AtFlags::EMPTY_PATH)?;
        }
        self.disinherit(attributes.xattrs)?;
        let mut refused = Vec::new();
        for (name, value) in attributes.xattrs {
            match self.set_xattr(name, value) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::OPNOTSUPP) => refused.push(name.clone()),
                Err(e) => return Err(e.into()),
            }
        }
        self.set_mode(attributes.mode)?;
        self.set_mtime(attributes.mtime_ns)?;
        Ok(refused)
    }

    fn set_xattr(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        match self.file {
            true => fs::fsetxattr(&self.fd, name, value, XattrFlags::empty()),
            false => fs::setxattr(self.magic(), name, value, XattrFlags::empty()),
        }
    }

    fn disinherit(&self, xattrs: &[RawXattr]) -> io::Result<()> {
        for name in INHERITED {
            let wanted = xattrs.iter().any(|(known, _)| known == name.as_bytes());
            let possible = self.kind == FileType::Directory || name == INHERITED[0] && self.kind != FileType::Symlink;
            if wanted || !possible {
                continue;
            }
            let removed = match self.file {
                true => fs::fremovexattr(&self.fd, name),
                false => fs::removexattr(self.magic(), name),
            };
            match removed {
                Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Sets the modification time; the access time stays.
    ///
    /// # Errors
    /// As utimensat(2); EINVAL where the time does not fit the kernel's.
    pub fn set_mtime(&self, mtime_ns: i128) -> io::Result<()> {
        let seconds = i64::try_from(mtime_ns.div_euclid(1_000_000_000)).map_err(|_| Errno::INVAL)?;
        let ns = i64::try_from(mtime_ns.rem_euclid(1_000_000_000)).map_err(|_| Errno::INVAL)?;
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec: seconds, tv_nsec: ns },
        };
        let set = match self.file {
            true => fs::futimens(&self.fd, &times),
            false => fs::utimensat(&self.fd, "", &times, AtFlags::EMPTY_PATH),
        };
        Ok(set?)
    }
}
