//! Reads trees of files one name at a time (openat(2)): no link is ever followed, so that a name which is swapped
//! while it is looked at cannot lead out of the tree.
//!
//! Errors are plain `io::Error`s: only the caller knows the whole path.

use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
};

use rustix::{
    fs::{self, Advice, AtFlags, FileType, FlockOperation, Mode, OFlags, RawDir, SeekFrom, Stat},
    io::Errno,
};

use super::plant;

/// What an attribute list may take (the kernel's XATTR_LIST_MAX and XATTR_SIZE_MAX).
const XATTR_BYTES: usize = 1 << 16;
const LISTING_BYTES: usize = 1 << 15;

/// What stat(2) tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: FileType,
    /// Device and inode: the identity of hard links.
    pub identity: (u64, u64),
    /// Names of the inode.
    pub links: u64,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length in bytes.
    pub size: u64,
    /// Bytes on the disk, in blocks of 512.
    pub blocks: u64,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// Change time in nanoseconds since 1970.
    pub ctime_ns: i128,
    /// Major and minor number of a device.
    pub device: (u32, u32),
}

impl From<Stat> for Facts {
    fn from(stat: Stat) -> Self {
        let time = |seconds: i64, ns: i128| i128::from(seconds) * 1_000_000_000 + ns;
        Self {
            kind: FileType::from_raw_mode(stat.st_mode),
            identity: (stat.st_dev, stat.st_ino),
            links: wide(stat.st_nlink),
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            blocks: u64::try_from(stat.st_blocks).unwrap_or(0),
            mtime_ns: time(stat.st_mtime, i128::from(stat.st_mtime_nsec)),
            ctime_ns: time(stat.st_ctime, i128::from(stat.st_ctime_nsec)),
            device: (fs::major(stat.st_rdev), fs::minor(stat.st_rdev)),
        }
    }
}

/// The width differs between processors.
fn wide(number: impl Into<u64>) -> u64 {
    number.into()
}

/// An extended attribute: name and value.
pub type RawXattr = (Vec<u8>, Vec<u8>);

/// An open directory.
#[derive(Debug)]
pub struct Dir(OwnedFd);

/// An open regular file, or whatever took its place: look at its facts.
#[derive(Debug)]
pub struct TreeFile(OwnedFd);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn place(dir: Option<&Dir>) -> BorrowedFd<'_> {
    dir.map_or(fs::CWD, |dir| dir.0.as_fd())
}

/// Looks at a name in `dir`; without a directory, at an absolute path.
///
/// # Errors
/// As fstatat(2).
pub fn facts(dir: Option<&Dir>, name: &[u8]) -> io::Result<Facts> {
    Ok(fs::statat(place(dir), name, AtFlags::SYMLINK_NOFOLLOW)?.into())
}

/// Opens a directory.
///
/// # Errors
/// As openat(2); ENOTDIR or ELOOP when it is none.
pub fn open_dir(dir: Option<&Dir>, name: &[u8]) -> io::Result<Dir> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(Dir(fs::openat(place(dir), name, flags, Mode::empty())?))
}

/// Opens a directory below another one, at once however deep it lies; `.` is that one again.
///
/// # Errors
/// As openat2(2); ENOTDIR also when a link is on the way.
pub fn open_below(dir: &Dir, path: &[u8]) -> io::Result<Dir> {
    match plant::below(&dir.0, path, OFlags::RDONLY | OFlags::DIRECTORY) {
        Err(Errno::LOOP) => Err(Errno::NOTDIR.into()),
        opened => Ok(Dir(opened?)),
    }
}

/// Opens a file for reading; never waits, not even for a FIFO. Where the user may, its access time stays as it is.
///
/// # Errors
/// As openat(2); ELOOP when it is a link.
pub fn open_file(dir: Option<&Dir>, name: &[u8]) -> io::Result<TreeFile> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let open = |flags| fs::openat(place(dir), name, flags, Mode::empty());
    let opened = match open(flags | OFlags::NOATIME) {
        Err(Errno::PERM) => open(flags),
        opened => opened,
    };
    Ok(TreeFile(opened?))
}

/// Where a symbolic link points.
///
/// # Errors
/// As readlinkat(2).
pub fn read_link(dir: &Dir, name: &[u8]) -> io::Result<Vec<u8>> {
    Ok(fs::readlinkat(&dir.0, name, Vec::new())?.into_bytes())
}

/// The extended attributes of what cannot be opened: links, devices, FIFOs.
///
/// # Errors
/// As lgetxattr(2); ENOENT also where there is no /proc.
pub fn xattrs(dir: &Dir, name: &[u8]) -> io::Result<Vec<RawXattr>> {
    // There is no lgetxattrat(2) before Linux 6.13; this path is resolved from the open directory.
    let path = [format!("/proc/self/fd/{}/", dir.0.as_raw_fd()).as_bytes(), name].concat();
    collect(|list| fs::llistxattr(&path, list), |name, value| fs::lgetxattr(&path, name, value))
}

fn collect(
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<RawXattr>> {
    // Most files have none, and only those that have need the large buffers.
    match list(&mut [0; 1]) {
        Ok(0) | Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Ok(_) | Err(Errno::RANGE) => {}
        Err(e) => return Err(e.into()),
    }
    let mut names = vec![0; XATTR_BYTES];
    let length = list(&mut names)?;
    let mut value = vec![0; XATTR_BYTES];
    let mut xattrs = Vec::new();
    for name in names[..length].split_inclusive(|b| *b == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        match get(name, &mut value) {
            Ok(length) => xattrs.push((name.to_bytes().to_vec(), value[..length].to_vec())),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(e) => return Err(e.into()),
        }
    }
    xattrs.sort();
    Ok(xattrs)
}

/// The names in a directory, sorted by their bytes.
#[derive(Debug, Default)]
pub struct Listing {
    text: Vec<u8>,
    items: Vec<(usize, usize, FileType)>,
}

impl Listing {
    /// A name and what it was when it was listed (`Unknown` on some file systems).
    pub fn get(&self, index: usize) -> Option<(&[u8], FileType)> {
        self.items.get(index).map(|(start, end, kind)| (&self.text[*start..*end], *kind))
    }
}

impl Dir {
    /// Looks at the directory itself.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn facts(&self) -> io::Result<Facts> {
        Ok(fs::fstat(&self.0)?.into())
    }

    /// The directory's own extended attributes.
    ///
    /// # Errors
    /// As fgetxattr(2).
    pub fn xattrs(&self) -> io::Result<Vec<RawXattr>> {
        collect(|list| fs::flistxattr(&self.0, list), |name, value| fs::fgetxattr(&self.0, name, value))
    }

    /// Keeps every other maint out of it (flock(2)) until it is closed. `false`: another one is in it.
    ///
    /// # Errors
    /// As flock(2).
    pub fn lock(&self) -> io::Result<bool> {
        match fs::flock(&self.0, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(true),
            Err(Errno::WOULDBLOCK) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// The names in it, without `.` and `..`. All names share one allocation: a directory may hold millions.
    ///
    /// # Errors
    /// As getdents(2).
    pub fn list(&self) -> io::Result<Listing> {
        let mut buffer = vec![MaybeUninit::uninit(); LISTING_BYTES];
        let mut listing = Listing::default();
        let mut names = RawDir::new(&self.0, &mut buffer);
        while let Some(entry) = names.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                let start = listing.text.len();
                listing.text.extend_from_slice(name);
                listing.items.push((start, listing.text.len(), entry.file_type()));
            }
        }
        let text = &listing.text;
        listing.items.sort_unstable_by(|a, b| text[a.0..a.1].cmp(&text[b.0..b.1]));
        Ok(listing)
    }
}

impl TreeFile {
    /// Looks at the open file.
    ///
    /// # Errors
    /// As fstat(2).
    pub fn facts(&self) -> io::Result<Facts> {
        Ok(fs::fstat(&self.0)?.into())
    }

    /// Its extended attributes.
    ///
    /// # Errors
    /// As fgetxattr(2).
    pub fn xattrs(&self) -> io::Result<Vec<RawXattr>> {
        collect(|list| fs::flistxattr(&self.0, list), |name, value| fs::fgetxattr(&self.0, name, value))
    }

    /// Fills `buffer` from `offset` on; gives how much there was before the file's end.
    ///
    /// # Errors
    /// As pread(2).
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match rustix::io::pread(&self.0, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(filled)
    }

    /// Where its data lies: offset and length of each piece up to `size` (lseek(2), SEEK_DATA). Beyond `most` pieces the
    /// rest counts as data.
    ///
    /// # Errors
    /// As lseek(2).
    pub fn data(&self, size: u64, most: usize) -> io::Result<Vec<(u64, u64)>> {
        let mut pieces = Vec::new();
        let mut at = 0;
        while at < size {
            let start = match fs::seek(&self.0, SeekFrom::Data(at)) {
                Ok(start) => start.min(size),
                Err(Errno::NXIO) => break,
                // The file system does not know.
                Err(Errno::INVAL) => return Ok(vec![(0, size)]),
                Err(e) => return Err(e.into()),
            };
            let last = pieces.len() + 1 >= most;
            let end = if last { size } else { fs::seek(&self.0, SeekFrom::Hole(start))?.min(size) };
            if end > start {
                pieces.push((start, end - start));
            }
            at = end.max(start + 1);
        }
        Ok(pieces)
    }

    /// Tells the kernel that it will be read from the beginning to the end (posix_fadvise(2)).
    pub fn expect_sequential_reads(&self) {
        // Advice: where it is not taken, reading is slower but not wrong.
        let _ = fs::fadvise(&self.0, 0, None, Advice::Sequential);
    }
}
