//! Questions about files; nothing is changed.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{FileError, at};

/// Whether a path is a regular file itself, not a link to one.
///
/// # Errors
/// When it cannot be asked.
pub fn is_regular(path: &Path) -> Result<bool, FileError> {
    at("asking for the type of", path, fs::symlink_metadata(path)).map(|meta| meta.is_file())
}

/// The length of a regular file; `None` where something else is there, e.g. a link.
///
/// # Errors
/// When it cannot be asked.
pub fn regular_length(path: &Path) -> Result<Option<u64>, FileError> {
    let meta = at("asking for the length of", path, fs::symlink_metadata(path))?;
    Ok(meta.is_file().then_some(meta.len()))
}

/// Whether this process may make files in a directory, without making one: cheap enough to be asked at every start.
///
/// # Errors
/// When it may not.
pub fn may_write(dir: &Path) -> Result<(), FileError> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    at("writing to", dir, accessat(CWD, dir, wanted, AtFlags::EACCESS).map_err(Into::into))
}

/// Who owns a file and what others may do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// Asks for a file's owner and mode, following links.
///
/// # Errors
/// When it cannot be asked.
pub fn owner(path: &Path) -> Result<Owner, FileError> {
    let meta = at("asking for the owner of", path, fs::metadata(path))?;
    Ok(Owner { uid: meta.uid(), gid: meta.gid(), mode: meta.mode() })
}

/// Bytes that an unprivileged writer may still use on the file system of `path`.
///
/// # Errors
/// When the file system cannot be asked.
pub fn free_space(path: &Path) -> Result<u64, FileError> {
    let stat = rustix::fs::statvfs(path).map_err(|e| FileError::new("asking the free space of", path, e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Which file system a path is on.
///
/// # Errors
/// When it cannot be asked.
pub fn file_system(path: &Path) -> Result<u64, FileError> {
    at("asking for the file system of", path, fs::metadata(path)).map(|meta| meta.dev())
}

/// The directories where this host's own file systems are mounted: those of a device or pool that can be written to, and so
/// can run full. Whether this process sees them read-only is another matter.
///
/// # Errors
/// When the kernel's list (proc(5), `mountinfo`) cannot be read.
pub fn mounts() -> Result<Vec<PathBuf>, FileError> {
    let list = Path::new("/proc/self/mountinfo");
    Ok(own(&at("reading", list, fs::read_to_string(list))?).into_iter().filter(|path| path.is_dir()).collect())
}

fn own(mountinfo: &str) -> Vec<PathBuf> {
    let point = |line: &str| {
        let (mount, system) = line.split_once(" - ")?;
        let mut system = system.split(' ');
        let (kind, source, options) = (system.next()?, system.next()?, system.next()?);
        let fills = (source.starts_with("/dev/") || kind == "zfs") && options.split(',').any(|option| option == "rw");
        let point = mount.split(' ').nth(4)?;
        // The four characters that would break the list are octal in it.
        let escaped = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
        let plain = escaped.iter().fold(point.to_owned(), |plain, (code, character)| plain.replace(code, character));
        fills.then(|| plain.into())
    };
    mountinfo.lines().filter_map(point).collect()
}

/// How full a file system is, for those who are not root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fullness {
    /// Bytes that are used or can be.
    pub bytes: u64,
    /// Bytes that can still be.
    pub free_bytes: u64,
    /// All inodes; 0: the file system counts none.
    pub inodes: u64,
    /// Free inodes.
    pub free_inodes: u64,
}

/// How full the file system of `path` is, as df(1) counts.
///
/// # Errors
/// When the file system cannot be asked.
pub fn fullness(path: &Path) -> Result<Fullness, FileError> {
    let stat = rustix::fs::statvfs(path).map_err(|e| FileError::new("asking how full is", path, e.into()))?;
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    Ok(Fullness {
        bytes: used.saturating_add(stat.f_bavail).saturating_mul(stat.f_frsize),
        free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        inodes: stat.f_files,
        free_inodes: stat.f_ffree,
    })
}

/// A regular file and when it was last written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aged {
    /// Where it is.
    pub path: PathBuf,
    /// When it was last written.
    pub modified: chrono::DateTime<chrono::Utc>,
    /// Its length.
    pub bytes: u64,
}

/// Every regular file below a directory; links are not followed. One that vanishes meanwhile is not there.
///
/// # Errors
/// When a directory cannot be read.
pub fn aged(dir: &Path) -> Result<Vec<Aged>, FileError> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for name in super::list(&dir)? {
            let path = dir.join(name);
            let Ok(meta) = fs::symlink_metadata(&path) else { continue };
            if meta.is_dir() {
                waiting.push(path);
            } else if let (true, Ok(modified)) = (meta.is_file(), meta.modified()) {
                found.push(Aged { path, modified: modified.into(), bytes: meta.len() });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_run_full_is_listed_and_nothing_else() {
        let list = "22 28 0:21 / /proc rw,nosuid - proc proc rw\n\
                    28 1 254:1 / / ro,relatime shared:1 - ext4 /dev/vda1 rw,errors=remount-ro\n\
                    31 28 254:2 / /srv/my\\040data rw,noatime shared:2 - xfs /dev/vdb rw\n\
                    32 28 7:1 / /snap/core ro,nodev - squashfs /dev/loop1 ro\n\
                    33 28 0:40 / /tank rw - zfs tank/data rw,xattr\n\
                    34 28 0:41 / /run rw - tmpfs tmpfs rw\n\
                    35 28 0:42 / /mnt/nas rw - nfs4 nas:/x rw\n";
        assert_eq!(own(list), ["/", "/srv/my data", "/tank"].map(PathBuf::from));
    }
}
