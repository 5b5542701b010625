//! Entries to bytes: the headers of an entry; content and padding are the caller's.

use super::{
    ACL_ACCESS, ACL_DEFAULT, BLOCK, Entry, MAX_META_BYTES, Xattr,
    block::{self, Block, put_octal, seal},
    pax, sparse,
};
use crate::model::contents::EntryKind;

/// What ends an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The largest number of eleven octal digits.
const MAX_OCTAL_11: u64 = 0o77_777_777_777;

/// The zeros that follow content of `bytes` bytes.
pub fn padding(bytes: u64) -> &'static [u8] {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    let over = usize::try_from(bytes % BLOCK as u64).unwrap_or(0);
    if over == 0 { &[] } else { &ZEROS[over..] }
}

/// Appends an entry's headers to `out`, with a sparse file's map: everything before the content.
///
/// # Errors
/// When the entry's attributes are longer than [`MAX_META_BYTES`].
pub fn encode(entry: &Entry, out: &mut Vec<u8>) -> Result<(), TooLarge> {
    let name = stored_name(entry);
    let map = entry.sparse.as_ref().map(|segments| sparse::encode_map(segments, entry.size));
    let stored = entry.data_bytes() + map.as_ref().map_or(0, |m| m.len() as u64);
    let mut records = Vec::new();
    if map.is_some() {
        sparse_records(entry, &mut records);
    } else if name.len() > block::NAME.len() {
        pax::put(&mut records, b"path", &name);
    }
    value_records(entry, stored, &mut records);
    for xattr in &entry.xattrs {
        xattr_record(xattr, &mut records);
    }
    if records.len() as u64 > MAX_META_BYTES {
        return Err(TooLarge);
    }
    if !records.is_empty() {
        let length = records.len() as u64;
        let mut header = Header::new(&[b"PaxHeaders/", base_name(&entry.path)].concat(), b'x');
        put_octal(&mut header.0[block::MODE], 0o644);
        put_octal(&mut header.0[block::SIZE], length);
        header.append_to(out);
        out.extend_from_slice(&records);
        out.extend_from_slice(padding(length));
    }
    entry_header(entry, &name, stored).append_to(out);
    if let Some(map) = map {
        out.extend_from_slice(&map);
    }
    Ok(())
}

/// An entry whose attributes are longer than [`MAX_META_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its extended attributes are longer than {} MiB", MAX_META_BYTES >> 20)]
pub struct TooLarge;

fn stored_name(entry: &Entry) -> Vec<u8> {
    let mut name = entry.path.clone();
    if entry.kind == EntryKind::Directory {
        name.push(b'/');
    }
    name
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|b| *b == b'/').next().unwrap_or(path)
}

fn sparse_records(entry: &Entry, records: &mut Vec<u8>) {
    pax::put(records, b"GNU.sparse.major", b"1");
    pax::put(records, b"GNU.sparse.minor", b"0");
    pax::put(records, b"GNU.sparse.name", &entry.path);
    pax::put(records, b"GNU.sparse.realsize", entry.size.to_string().as_bytes());
}

fn value_records(entry: &Entry, stored: u64, records: &mut Vec<u8>) {
    if let Some(target) = entry.target.as_ref().filter(|t| t.len() > block::LINK.len()) {
        pax::put(records, b"linkpath", target);
    }
    if stored > MAX_OCTAL_11 {
        pax::put(records, b"size", stored.to_string().as_bytes());
    }
    for (key, id) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if id > 0o7_777_777 {
            pax::put(records, key, id.to_string().as_bytes());
        }
    }
    if whole_seconds(entry.mtime_ns).is_none() {
        pax::put(records, b"mtime", pax::seconds(entry.mtime_ns).as_bytes());
    }
}

/// The time where a ustar header can hold it.
fn whole_seconds(mtime_ns: i128) -> Option<u64> {
    let seconds = u64::try_from(mtime_ns / 1_000_000_000).ok()?;
    (mtime_ns >= 0 && mtime_ns % 1_000_000_000 == 0 && seconds <= MAX_OCTAL_11).then_some(seconds)
}

fn xattr_record(xattr: &Xattr, records: &mut Vec<u8>) {
    match xattr.name.as_slice() {
        ACL_ACCESS => pax::put(records, b"SCHILY.acl.access", &xattr.value),
        ACL_DEFAULT => pax::put(records, b"SCHILY.acl.default", &xattr.value),
        name => {
            // As GNU tar does it since 1.32: a key cannot hold an equals sign.
            let mut key = b"SCHILY.xattr.".to_vec();
            for byte in name {
                match byte {
                    b'%' => key.extend_from_slice(b"%25"),
                    b'=' => key.extend_from_slice(b"%3D"),
                    byte => key.push(*byte),
                }
            }
            pax::put(records, &key, &xattr.value);
        }
    }
}

struct Header(Block);

impl Header {
    /// Whatever does not fit stands in a pax record too, which readers prefer.
    fn new(name: &[u8], typeflag: u8) -> Self {
        let mut block = [0; BLOCK];
        copy_to(&mut block[block::NAME], name);
        block[block::TYPE] = typeflag;
        copy_to(&mut block[block::MAGIC], b"ustar\x0000");
        for field in [block::MODE, block::UID, block::GID, block::SIZE, block::MTIME, block::MAJOR, block::MINOR] {
            put_octal(&mut block[field], 0);
        }
        Self(block)
    }

    fn append_to(mut self, out: &mut Vec<u8>) {
        seal(&mut self.0);
        out.extend_from_slice(&self.0);
    }
}

fn copy_to(field: &mut [u8], bytes: &[u8]) {
    let length = bytes.len().min(field.len());
    field[..length].copy_from_slice(&bytes[..length]);
}

fn typeflag(kind: EntryKind) -> u8 {
    match kind {
        // A socket is never encoded; as an empty file it would at least not stop a reader.
        EntryKind::File | EntryKind::Socket => b'0',
        EntryKind::Hardlink => b'1',
        EntryKind::Symlink => b'2',
        EntryKind::CharDevice => b'3',
        EntryKind::BlockDevice => b'4',
        EntryKind::Directory => b'5',
        EntryKind::Fifo => b'6',
    }
}

fn entry_header(entry: &Entry, name: &[u8], stored: u64) -> Header {
    let mut header = match entry.sparse {
        Some(_) => Header::new(&[b"GNUSparseFile/", base_name(&entry.path)].concat(), b'0'),
        None => Header::new(name, typeflag(entry.kind)),
    };
    let block = &mut header.0;
    put_octal(&mut block[block::MODE], u64::from(entry.mode));
    put_octal(&mut block[block::UID], u64::from(entry.uid));
    put_octal(&mut block[block::GID], u64::from(entry.gid));
    put_octal(&mut block[block::SIZE], stored);
    put_octal(
        &mut block[block::MTIME],
        whole_seconds(entry.mtime_ns).unwrap_or_else(|| nearest_seconds(entry.mtime_ns)),
    );
    copy_to(&mut block[block::LINK], entry.target.as_deref().unwrap_or_default());
    let (major, minor) = entry.device.unwrap_or_default();
    put_octal(&mut block[block::MAJOR], u64::from(major));
    put_octal(&mut block[block::MINOR], u64::from(minor));
    header
}

/// For readers that know no pax records.
fn nearest_seconds(mtime_ns: i128) -> u64 {
    u64::try_from(mtime_ns.div_euclid(1_000_000_000)).unwrap_or(0).min(MAX_OCTAL_11)
}
