//! One entry from its header block and from what the extension headers before it said.

use super::{
    ACL_ACCESS, ACL_DEFAULT, Entry, Segment, Xattr, acl,
    block::{self, Block},
    pax, sparse,
};
use crate::model::contents::EntryKind;

/// What the headers before an entry's own said.
#[derive(Debug, Default)]
pub(super) struct Meta {
    pub(super) pax: Option<Vec<u8>>,
    pub(super) long_name: Option<Vec<u8>>,
    pub(super) long_link: Option<Vec<u8>>,
}

impl Meta {
    pub(super) fn is_empty(&self) -> bool {
        self.pax.is_none() && self.long_name.is_none() && self.long_link.is_none()
    }
}

/// How an entry's content is stored.
#[derive(Debug)]
pub(super) enum Layout {
    /// As it is.
    Whole,
    /// A map stands before the data (GNU sparse 1.0).
    MapFirst,
    /// The map was in the pax records (0.0, 0.1).
    Mapped(Vec<Segment>),
    /// The map began in the header and goes on in further blocks (GNU's old format).
    Old { segments: Vec<Segment>, more: bool },
}

/// An entry, the bytes that follow its headers, and how they are laid out.
#[derive(Debug)]
pub(super) struct Assembled {
    pub(super) entry: Box<Entry>,
    pub(super) stored: u64,
    pub(super) layout: Layout,
}

/// What pax records can say; each replaces the header's field.
#[derive(Debug, Default)]
struct Records<'a> {
    path: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime_ns: Option<i128>,
    xattrs: Vec<Xattr>,
    sparse_major: Option<u64>,
    sparse_name: Option<&'a [u8]>,
    real_size: Option<u64>,
    map: Option<Vec<Segment>>,
    pairs: Vec<Segment>,
    pair_offset: Option<u64>,
}

fn number(key: &str, value: &[u8]) -> Result<u64, String> {
    pax::decimal(value).ok_or_else(|| format!("the pax record {key} is not a number"))
}

impl<'a> Records<'a> {
    fn read(pax: &'a [u8]) -> Result<Self, String> {
        let mut this = Self::default();
        for record in pax::Records(pax) {
            let (key, value) = record.ok_or("a pax record is damaged")?;
            match std::str::from_utf8(key) {
                Ok(text) => this.record(text, value)?,
                Err(_) => this.attribute(key, value)?,
            }
        }
        if !this.pairs.is_empty() {
            this.map = Some(std::mem::take(&mut this.pairs));
        }
        this.xattrs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(this)
    }

    fn record(&mut self, key: &str, value: &'a [u8]) -> Result<(), String> {
        match key {
            "path" => self.path = Some(value),
            "linkpath" => self.target = Some(value),
            "size" => self.size = Some(number(key, value)?),
            "uid" => self.uid = Some(number(key, value)?),
            "gid" => self.gid = Some(number(key, value)?),
            "mtime" => self.mtime_ns = Some(pax::nanoseconds(value).ok_or("the pax record mtime is not a time")?),
            "GNU.sparse.major" => self.sparse_major = Some(number(key, value)?),
            "GNU.sparse.name" => self.sparse_name = Some(value),
            "GNU.sparse.realsize" | "GNU.sparse.size" => self.real_size = Some(number(key, value)?),
            "GNU.sparse.map" => {
                self.map = Some(sparse::comma_map(value).ok_or("the pax record GNU.sparse.map is damaged")?);
            }
            "GNU.sparse.offset" => self.pair_offset = Some(number(key, value)?),
            "GNU.sparse.numbytes" => {
                let offset = self.pair_offset.take().ok_or("GNU.sparse.numbytes without an offset")?;
                self.pairs.push(Segment { offset, bytes: number(key, value)? });
            }
            // Access and change times, names of users, comments: nothing that a contents list has.
            _ => self.attribute(key.as_bytes(), value)?,
        }
        Ok(())
    }

    fn attribute(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (name, value) = match key {
            b"SCHILY.acl.access" => (ACL_ACCESS.to_vec(), value.to_vec()),
            b"SCHILY.acl.default" => (ACL_DEFAULT.to_vec(), value.to_vec()),
            _ => match key.strip_prefix(b"SCHILY.xattr.") {
                None => return Ok(()),
                Some(name) if name == ACL_ACCESS || name == ACL_DEFAULT => {
                    let text = acl::text_of_acl(value).map_err(|e| e.to_string())?;
                    (name.to_vec(), text.into_bytes())
                }
                Some(name) => (decoded(name), value.to_vec()),
            },
        };
        self.xattrs.retain(|known| known.name != name);
        self.xattrs.push(Xattr { name, value });
        Ok(())
    }
}

/// GNU tar writes `%` and `=` of an attribute's name as `%25` and `%3D`.
fn decoded(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, after) = match tail.split_first_chunk::<2>() {
            Some((b"25", after)) if *first == b'%' => (b'%', after),
            Some((b"3D", after)) if *first == b'%' => (b'=', after),
            _ => (*first, tail),
        };
        out.push(byte);
        rest = after;
    }
    out
}

/// A path as a contents list has it: without leading `./` and trailing slashes; `.` for the root.
fn normal(path: &[u8]) -> Vec<u8> {
    let mut path = path;
    while let Some(shorter) = path.strip_suffix(b"/") {
        path = shorter;
    }
    while let Some(shorter) = path.strip_prefix(b"./") {
        path = shorter;
    }
    if path.is_empty() { b".".to_vec() } else { path.to_vec() }
}

fn header_path(block: &Block) -> Vec<u8> {
    let name = block::text(&block[block::NAME]);
    let prefix = block::text(&block[block::PREFIX]);
    // GNU's own magic has a blank here, and other things where ustar has the prefix.
    if &block[block::MAGIC][..6] == b"ustar\0" && !prefix.is_empty() {
        [prefix, b"/", name].concat()
    } else {
        name.to_vec()
    }
}

fn kind_of(typeflag: u8, path: &[u8]) -> Result<EntryKind, String> {
    Ok(match typeflag {
        b'0' | 0 if path.ends_with(b"/") => EntryKind::Directory,
        b'0' | b'7' | b'S' | 0 => EntryKind::File,
        b'1' => EntryKind::Hardlink,
        b'2' => EntryKind::Symlink,
        b'3' => EntryKind::CharDevice,
        b'4' => EntryKind::BlockDevice,
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Fifo,
        other => return Err(format!("an entry of the unknown type `{}`", other.escape_ascii())),
    })
}

fn field<T: TryFrom<i128>>(block: &Block, range: std::ops::Range<usize>, what: &str) -> Result<T, String> {
    let value = block::number(&block[range]).and_then(|n| T::try_from(n).ok());
    value.ok_or_else(|| format!("the header's {what} is not a number, or too large"))
}

fn id(record: Option<u64>, block: &Block, range: std::ops::Range<usize>, what: &str) -> Result<u32, String> {
    match record {
        Some(id) => u32::try_from(id).map_err(|_| format!("the {what} {id} is too large")),
        None => field(block, range, what),
    }
}

/// Puts an entry together.
pub(super) fn assemble(block: &Block, meta: Meta) -> Result<Assembled, String> {
    let pax = meta.pax.unwrap_or_default();
    let records = Records::read(&pax)?;
    let path = records.sparse_name.or(records.path).map(<[u8]>::to_vec).or(meta.long_name);
    let path = path.filter(|p| !p.is_empty()).unwrap_or_else(|| header_path(block));
    let kind = kind_of(block[block::TYPE], &path)?;
    let target = records.target.map(<[u8]>::to_vec).or(meta.long_link);
    let target = match kind {
        EntryKind::Symlink => Some(target.unwrap_or_else(|| block::text(&block[block::LINK]).to_vec())),
        EntryKind::Hardlink => Some(normal(&target.unwrap_or_else(|| block::text(&block[block::LINK]).to_vec()))),
        _ => None,
    };
    if path.is_empty() || path.contains(&0) || target.as_ref().is_some_and(|t| t.is_empty() || t.contains(&0)) {
        return Err("an entry without a proper name or target".into());
    }
    // Only files have content, whatever the size field says (POSIX pax(1), ustar: typeflag).
    let stored = match (kind, records.size) {
        (EntryKind::File, Some(size)) => size,
        (EntryKind::File, None) => field(block, block::SIZE, "size")?,
        _ => 0,
    };
    let layout = if kind == EntryKind::File { layout(block, &records)? } else { Layout::Whole };
    let size = match &layout {
        Layout::Whole => stored,
        Layout::Old { .. } => field(block, 483..495, "real size")?,
        Layout::MapFirst | Layout::Mapped(_) => records.real_size.ok_or("a sparse file without its real size")?,
    };
    let device = match kind {
        EntryKind::CharDevice | EntryKind::BlockDevice => {
            Some((field(block, block::MAJOR, "major number")?, field(block, block::MINOR, "minor number")?))
        }
        _ => None,
    };
    let mtime_ns = match records.mtime_ns {
        Some(ns) => ns,
        None => i128::from(field::<i64>(block, block::MTIME, "time")?) * 1_000_000_000,
    };
    let entry = Entry {
        path: normal(&path),
        kind,
        mode: field::<u32>(block, block::MODE, "mode")? & 0o7777,
        uid: id(records.uid, block, block::UID, "owner")?,
        gid: id(records.gid, block, block::GID, "group")?,
        mtime_ns,
        size,
        target,
        device,
        xattrs: records.xattrs,
        sparse: None,
    };
    Ok(Assembled { entry: Box::new(entry), stored, layout })
}

fn layout(block: &Block, records: &Records<'_>) -> Result<Layout, String> {
    if block[block::TYPE] == b'S' {
        let mut segments = Vec::new();
        sparse::old_pairs(&block[386..482], &mut segments).ok_or("the sparse map is damaged")?;
        return Ok(Layout::Old { segments, more: block[482] != 0 });
    }
    match (records.sparse_major, &records.map) {
        (Some(1), _) => Ok(Layout::MapFirst),
        (Some(other), _) if other > 1 => Err(format!("sparse format {other} is not known")),
        (_, Some(map)) => Ok(Layout::Mapped(map.clone())),
        _ => Ok(Layout::Whole),
    }
}
