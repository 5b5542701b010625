//! The tar format: entries to bytes ([`encode`]) and bytes to entries ([`Parser`], [`TarReader`]).
//!
//! What is written is POSIX pax as GNU tar writes and reads it: ustar headers, pax records only where a field cannot
//! hold the value (nanoseconds, long names, large sizes and ids, extended attributes), sparse files in GNU's format
//! 1.0 (GNU tar manual, "Storing Sparse Files"). The same entries always give the same bytes: there are no access
//! times, no change times, no names of users. What is read is wider: ustar, GNU's own format and every pax archive of
//! GNU tar, libarchive and Go.

mod acl;
mod assemble;
mod block;
mod parse;
mod pax;
mod read;
mod sparse;
#[cfg(test)]
mod tests;
mod write;

pub use acl::{AclError, acl_of_text, text_of_acl};
pub use parse::{Event, Parser};
pub use read::{TarReader, hash_zeros};
pub use write::{END, TooLarge, encode, padding};

use crate::{
    model::contents::{EntryKind, EntryLine, PathBytes},
    stream::hash::Sha,
};

/// The options with which GNU tar restores everything that an archive holds, as an argv. Needs root.
pub const GNU_TAR_OPTIONS: &[&str] =
    &["--xattrs", "--xattrs-include=*", "--acls", "--same-owner", "--numeric-owner", "--same-permissions"];

/// The unit of the format, in bytes.
pub const BLOCK: usize = 512;
/// The longest group of pax records or long name that is written or read.
pub const MAX_META_BYTES: u64 = 8 << 20;
/// The most data segments of a sparse file that are written or read.
pub const MAX_SEGMENTS: usize = 1 << 18;

/// The name of the extended attribute that holds a POSIX access ACL. In an [`Entry`] its value is text.
pub const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The name of the extended attribute that holds a POSIX default ACL. In an [`Entry`] its value is text.
pub const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// [`GNU_TAR_OPTIONS`] as one types them into a shell.
pub fn gnu_tar_options() -> String {
    let quoted = GNU_TAR_OPTIONS.iter().map(|option| option.replace("=*", "='*'"));
    quoted.collect::<Vec<_>>().join(" ")
}

/// Bytes that are not a tar, or not one that can be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset} of the tar: {problem}")]
pub struct TarError {
    /// Where the entry begins in the plain stream.
    pub offset: u64,
    /// What is wrong.
    pub problem: String,
}

/// Where data lies in a sparse file; the rest is holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// An extended attribute. ACLs are text ([`text_of_acl`]), as they stand in the tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Its full name, e.g. `user.comment`.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

/// What stands in an entry's headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Relative path without a trailing slash; `.` is the root.
    pub path: Vec<u8>,
    /// What it is; never a socket.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970.
    pub mtime_ns: i128,
    /// A file's length, holes included; 0 for others.
    pub size: u64,
    /// Where a symlink or hard link points.
    pub target: Option<Vec<u8>>,
    /// Major and minor number of a device.
    pub device: Option<(u32, u32)>,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<Xattr>,
    /// Where the data of a sparse file lies, in order; `None`: stored whole.
    pub sparse: Option<Vec<Segment>>,
}

impl Entry {
    /// Bytes of content that follow the headers, without the padding.
    pub fn data_bytes(&self) -> u64 {
        match &self.sparse {
            Some(segments) => segments.iter().fold(0, |sum: u64, s| sum.saturating_add(s.bytes)),
            None => self.size,
        }
    }

    /// The entry as a contents list has it. `sha256`: of a file's whole content; `offset`: where its headers begin in
    /// the plain stream.
    pub fn line(&self, sha256: Option<String>, offset: Option<u64>) -> EntryLine {
        EntryLine {
            path: PathBytes(self.path.clone()),
            kind: self.kind,
            mode: self.mode,
            uid: self.uid,
            gid: self.gid,
            mtime_ns: self.mtime_ns.to_string(),
            size: self.size,
            sha256,
            target: self.target.clone().map(PathBytes),
            xattrs: self.xattrs.iter().map(|x| String::from_utf8_lossy(&x.name).into_owned()).collect(),
            xattrs_sha256: xattrs_digest(&self.xattrs),
            device: self.device,
            sparse: self.sparse.is_some(),
            offset,
            remark: None,
        }
    }
}

/// SHA-256 over all extended attributes in the order of their names: `<name length> <value length>:<name><value>`
/// each. `None` where there are none.
fn xattrs_digest(xattrs: &[Xattr]) -> Option<String> {
    if xattrs.is_empty() {
        return None;
    }
    let mut sha = Sha::default();
    for xattr in xattrs {
        sha.update(format!("{} {}:", xattr.name.len(), xattr.value.len()).as_bytes());
        sha.update(&xattr.name);
        sha.update(&xattr.value);
    }
    Some(sha.finish())
}
