//! The contents list of an artifact: one JSON object a line, first a header, last an end line.
//!
//! It says what is in the artifact (tables, large objects, tree entries) with digests, and where: objects carry
//! offsets into the *plain* stream, frames map those to the *packed* file, so that one object can be read without
//! decoding the rest.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::inventory::Object;

/// The format's version; a reader refuses a higher one.
pub const CONTENTS_VERSION: u32 = 1;

/// The algorithm of [`TableDigest`]: rows are the lines of the COPY block; a row's digest is XXH3-128 (seed 0) of the
/// line without its newline; the table's is the sum modulo 2^128.
pub const ROW_DIGEST: &str = "xxh3-128-sum/1";

/// What kind of stream the artifact holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ContentsKind {
    /// Plain SQL of one database.
    PostgresDump,
    /// Plain SQL of a server's roles and tablespaces.
    PostgresGlobals,
    /// A tar of a tree.
    Tree,
}

/// How an artifact is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Independent zstd frames with content checksums.
    Zstd,
    /// Independent gzip members.
    Gzip,
}

impl Codec {
    /// The file name's ending, without a dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Zstd => "zst",
            Self::Gzip => "gz",
        }
    }
}

/// One line of a contents list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// The first line.
    Header { format: String, version: u32, kind: ContentsKind, codec: Codec, row_digest: Option<String> },
    /// A table whose data the catalogue says belongs to the dump, asked independently of the dump.
    CatalogueTable { table: TableName },
    /// A large object that the catalogue says belongs to the dump.
    CatalogueLargeObjects { count: u64 },
    /// How many rows the server counted in a table, in the dump's snapshot and independently of the dump.
    Counted { table: TableName, rows: u64 },
    /// A sequence's value at the source.
    Sequence(SequenceLine),
    /// A role of the source's server.
    Role { name: String },
    /// The catalogues that were asked for objects, in the dump's snapshot.
    Inventory { catalogues: Vec<String> },
    /// An object of one of them.
    Object(Object),
    /// A table's data as it stands in the dump.
    Table(TableLine),
    /// A large object as it stands in the dump.
    LargeObject(LargeObjectLine),
    /// An entry of a tree.
    Entry(EntryLine),
    /// A frame (zstd) or member (gzip).
    Frame(Frame),
    /// The last line; a list without it is cut off.
    End { frames: u64, objects: u64, plain_bytes: u64, packed_bytes: u64 },
}

/// A table's name as the catalogue has it, unquoted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TableName {
    /// `pg_namespace.nspname`.
    pub schema: String,
    /// `pg_class.relname`.
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl TableName {
    /// The name for SQL.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&self.name))
    }
}

/// An identifier for SQL (manual §4.1.1).
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A sequence of a dump. Sequences stand outside of snapshots (manual §9.17), so a dump under load has a value between two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceLine {
    /// Which.
    pub sequence: TableName,
    /// Its value before the dump began.
    pub before: SequenceValue,
    /// Its value after the dump ended; the same where nobody used it.
    pub after: SequenceValue,
    /// `seqincrement`: which way it goes.
    pub increment: i64,
}

/// What a sequence gives next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceValue {
    /// `last_value`.
    pub last_value: i64,
    /// Whether that value was given out already.
    pub is_called: bool,
}

impl SequenceLine {
    /// Whether a dump that was taken between both values may hold this one. A sequence that went round or was set back
    /// meanwhile may have had any value.
    pub fn admits(&self, value: SequenceValue) -> bool {
        let Self { before, after, increment, .. } = self;
        if before == after {
            return value == *before;
        }
        let forward =
            (after.last_value >= before.last_value) == (*increment > 0) || after.last_value == before.last_value;
        let (low, high) = (before.last_value.min(after.last_value), before.last_value.max(after.last_value));
        !forward || (low..=high).contains(&value.last_value)
    }
}

/// Count and order-free digest of a table's rows; see [`ROW_DIGEST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableDigest {
    /// Lines of the COPY block.
    pub rows: u64,
    /// Sum of the row digests, 32 hex digits.
    #[serde(with = "hex128")]
    pub digest: u128,
}

/// One table's data in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableLine {
    /// Which table.
    pub table: TableName,
    /// The columns of the COPY statement, in its order, unquoted; empty for a table without columns.
    pub columns: Vec<String>,
    /// Its rows.
    #[serde(flatten)]
    pub content: TableDigest,
    /// Where the first row begins in the plain stream.
    pub offset: u64,
    /// Bytes of the rows, newlines included, the closing `\.` not.
    pub bytes: u64,
}

impl TableLine {
    /// The table with its columns, as COPY has it; a table without columns has no list.
    pub fn copy_target(&self) -> String {
        if self.columns.is_empty() {
            return self.table.quoted();
        }
        let columns = self.columns.iter().map(|c| quoted(c)).collect::<Vec<_>>().join(", ");
        format!("{} ({columns})", self.table.quoted())
    }
}

/// One large object in a dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectLine {
    /// `pg_largeobject_metadata.oid`.
    pub oid: u32,
    /// Its length in bytes.
    pub length: u64,
    /// XXH3-128 of its content, 32 hex digits.
    #[serde(with = "hex128")]
    pub digest: u128,
}

/// What a tree entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Hardlink,
    CharDevice,
    BlockDevice,
    Fifo,
    /// Listed, not stored: a socket lives only as long as the program that made it.
    Socket,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryLine {
    /// Relative path as stored in the tar, without a trailing slash.
    pub path: PathBytes,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Numeric owner.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Modification time in nanoseconds since 1970, as a decimal string (it can be beyond 64 bits of JSON numbers).
    pub mtime_ns: String,
    /// A file's length in bytes (holes included); 0 for others.
    pub size: u64,
    /// SHA-256 of a file's whole content, as `sha256sum` prints it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sha256: Option<String>,
    /// Where a symlink or hard link points.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub target: Option<PathBytes>,
    /// Extended attributes and ACLs: their names.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub xattrs: Vec<String>,
    /// SHA-256 over all extended attributes, where there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub xattrs_sha256: Option<String>,
    /// Major and minor number of a device.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub device: Option<(u32, u32)>,
    /// Whether it is stored without its holes.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub sparse: bool,
    /// Where its tar header (pax records first) begins in the plain stream; absent for what is listed only.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset: Option<u64>,
    /// What happened to it during the capture, e.g. "grew while it was read".
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub remark: Option<String>,
}

/// One independent frame (zstd) or member (gzip).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// Where it begins in the packed file.
    pub offset: u64,
    /// Its packed length.
    pub bytes: u64,
    /// Where its content begins in the plain stream.
    pub plain_offset: u64,
    /// Its content's length.
    pub plain_bytes: u64,
    /// Whether it begins at a table's, row's or entry's beginning (else inside one).
    pub aligned: bool,
}

/// A path's bytes: text where they are UTF-8, `{"hex": …}` where not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathBytes(pub Vec<u8>);

impl fmt::Display for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl fmt::Debug for PathBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.0))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum PathRepr {
    Text(String),
    Hex { hex: String },
}

impl Serialize for PathBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => PathRepr::Hex { hex: hex(&self.0) }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for PathBytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match PathRepr::deserialize(deserializer)? {
            PathRepr::Text(text) => Ok(Self(text.into_bytes())),
            PathRepr::Hex { hex } => {
                unhex(&hex).map(Self).ok_or_else(|| serde::de::Error::custom("not hex digits in pairs"))
            }
        }
    }
}

/// Lower-case hex.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// The inverse of [`hex`]; `None` for anything but pairs of hex digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| {
            let hi = char::from(pair[0]).to_digit(16)?;
            let lo = char::from(pair[1]).to_digit(16)?;
            u8::try_from(hi * 16 + lo).ok()
        })
        .collect()
}

mod hex128 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{value:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.len() != 32 {
            return Err(serde::de::Error::custom("a digest has 32 hex digits"));
        }
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_path_survives(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let path = PathBytes(bytes);
            let text = serde_json::to_string(&path).unwrap();
            prop_assert_eq!(serde_json::from_str::<PathBytes>(&text).unwrap(), path);
        }
    }

    #[test]
    fn a_sequence_in_use_has_a_value_between() {
        let value = |last_value| SequenceValue { last_value, is_called: true };
        let line = |a, b, increment| SequenceLine {
            sequence: TableName { schema: "s".into(), name: "q".into() },
            before: value(a),
            after: value(b),
            increment,
        };
        assert!(line(5, 5, 1).admits(value(5)) && !line(5, 5, 1).admits(value(6)));
        assert!(!line(5, 5, 1).admits(SequenceValue { last_value: 5, is_called: false }));
        assert!(line(5, 9, 1).admits(value(7)) && !line(5, 9, 1).admits(value(10)) && !line(5, 9, 1).admits(value(4)));
        assert!(line(9, 5, -1).admits(value(7)) && !line(9, 5, -1).admits(value(4)));
        assert!(line(9, 5, 1).admits(value(1)), "it went round");
    }

    #[test]
    fn table_lines_are_flat() {
        let line = Line::Table(TableLine {
            table: TableName { schema: "public".into(), name: "t".into() },
            columns: vec!["a".into()],
            content: TableDigest { rows: 2, digest: 255 },
            offset: 10,
            bytes: 4,
        });
        let text = serde_json::to_string(&line).unwrap();
        assert!(text.contains(r#""rows":2,"digest":"000000000000000000000000000000ff""#), "{text}");
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
