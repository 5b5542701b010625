//! What stat(2) and the attributes tell, as an entry of a tar.

use std::path::PathBuf;

use rustix::fs::FileType;

use super::ArchiveError;
use crate::{
    adapters::tree::{Facts, RawXattr},
    model::contents::EntryKind,
    stream::tar::{ACL_ACCESS, ACL_DEFAULT, Entry, Xattr, text_of_acl},
};

/// The kind of a file; `None` for what Linux does not have.
pub(super) fn kind_of(kind: FileType) -> Option<EntryKind> {
    match kind {
        FileType::RegularFile => Some(EntryKind::File),
        FileType::Directory => Some(EntryKind::Directory),
        FileType::Symlink => Some(EntryKind::Symlink),
        FileType::Fifo => Some(EntryKind::Fifo),
        FileType::Socket => Some(EntryKind::Socket),
        FileType::CharacterDevice => Some(EntryKind::CharDevice),
        FileType::BlockDevice => Some(EntryKind::BlockDevice),
        FileType::Unknown => None,
    }
}

/// An entry without target and attributes.
pub(super) fn entry(path: &[u8], kind: EntryKind, facts: &Facts) -> Entry {
    let is_device = matches!(kind, EntryKind::CharDevice | EntryKind::BlockDevice);
    Entry {
        path: path.to_vec(),
        kind,
        mode: facts.mode,
        uid: facts.uid,
        gid: facts.gid,
        mtime_ns: facts.mtime_ns,
        size: if kind == EntryKind::File { facts.size } else { 0 },
        target: None,
        device: is_device.then_some(facts.device),
        xattrs: Vec::new(),
        sparse: None,
    }
}

/// What stands at a place, as an archive of it would have it; `None` for what Linux does not have.
pub(crate) fn described(path: &[u8], facts: &Facts, raw: Vec<RawXattr>) -> Result<Option<Entry>, ArchiveError> {
    let Some(kind) = kind_of(facts.kind) else { return Ok(None) };
    Ok(Some(Entry { xattrs: xattrs(path, raw)?, ..entry(path, kind, facts) }))
}

/// Attributes as a tar has them: ACLs as text.
pub(super) fn xattrs(path: &[u8], raw: Vec<RawXattr>) -> Result<Vec<Xattr>, ArchiveError> {
    raw.into_iter()
        .map(|(name, value)| {
            let value = if name == ACL_ACCESS || name == ACL_DEFAULT {
                let text = text_of_acl(&value).map_err(|e| ArchiveError::Attributes {
                    path: PathBuf::from(String::from_utf8_lossy(path).into_owned()),
                    problem: e.to_string(),
                })?;
                text.into_bytes()
            } else {
                value
            };
            Ok(Xattr { name, value })
        })
        .collect()
}
