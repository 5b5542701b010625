//! Archives written by hand, with checksums and contents list as a careful forger would make them, and restores.

use std::{fs, path::Path};

use maint::{
    backup::restore::{
        RestoreError,
        tree::{self, Planted, TreeFiles, TreeOptions},
    },
    model::{
        contents::{Codec, ContentsKind, EntryKind, Line},
        failure::{Diagnose, chain},
        manifest::FileDigest,
    },
    stream::{
        artifact::{ArtifactWriter, PackedArtifact, SourceEnd},
        frames::Packing,
        hash::Sha,
        tar::{self, Entry},
    },
};
use tokio_util::sync::CancellationToken;

use crate::archive::events;

/// The archive in `out` as a manifest would name it.
pub fn named(out: &Path, packed: &PackedArtifact) -> TreeFiles {
    TreeFiles {
        packed: out.join(&packed.packed.file),
        contents: out.join(&packed.contents.file),
        codec: packed.packing.codec,
        plain_bytes: packed.plain_bytes,
        digest: packed.packed.clone(),
        contents_digest: packed.contents.clone(),
    }
}

/// Length and digest of a file, as a manifest that was forged too would have them.
pub fn digest(path: &Path) -> FileDigest {
    let bytes = fs::read(path).unwrap();
    let file = path.file_name().unwrap().to_string_lossy().into_owned();
    FileDigest { file, bytes: bytes.len() as u64, sha256: Sha::of(&bytes) }
}

/// Everything, devices too, as root.
pub fn all() -> TreeOptions {
    TreeOptions { devices: true, owners: true, paths: Vec::new(), trial: false }
}

pub fn restore(files: &TreeFiles, into: &Path, options: &TreeOptions) -> Result<Planted, RestoreError> {
    tree::tree(files, into, options, &CancellationToken::new(), &events())
}

pub fn message(error: &RestoreError) -> String {
    format!("{}; hint: {}", chain(error), error.hint().unwrap_or_default())
}

pub fn entry(path: &[u8], kind: EntryKind) -> Entry {
    Entry {
        path: path.to_vec(),
        kind,
        mode: 0o750,
        uid: 0,
        gid: 0,
        mtime_ns: 1_500_000_000_000_000_007,
        size: 0,
        target: None,
        device: None,
        xattrs: Vec::new(),
        sparse: None,
    }
}

pub fn dir(path: &str) -> (Entry, Vec<u8>) {
    (entry(path.as_bytes(), EntryKind::Directory), Vec::new())
}

pub fn file(path: &str, content: &[u8]) -> (Entry, Vec<u8>) {
    (Entry { size: content.len() as u64, ..entry(path.as_bytes(), EntryKind::File) }, content.to_vec())
}

pub fn link(path: &str, target: &str) -> (Entry, Vec<u8>) {
    let target = Some(target.as_bytes().to_vec());
    (Entry { target, ..entry(path.as_bytes(), EntryKind::Symlink) }, Vec::new())
}

pub fn hard(path: &str, target: &str) -> (Entry, Vec<u8>) {
    let target = Some(target.as_bytes().to_vec());
    (Entry { target, ..entry(path.as_bytes(), EntryKind::Hardlink) }, Vec::new())
}

pub fn writer(out: &Path) -> ArtifactWriter {
    let packing = Packing { codec: Codec::Zstd, level: 1, workers: 0 };
    ArtifactWriter::create(out, "t-1.tar.zst", ContentsKind::Tree, packing).unwrap()
}

/// Writes one entry and its line.
pub fn put(writer: &mut ArtifactWriter, entry: &Entry, content: &[u8]) {
    let offset = writer.plain_offset();
    let mut header = Vec::new();
    tar::encode(entry, &mut header).unwrap();
    writer.write(&header).unwrap();
    writer.write(content).unwrap();
    writer.write(tar::padding(content.len() as u64)).unwrap();
    let sha256 = (entry.kind == EntryKind::File).then(|| Sha::of(content));
    writer.record(&Line::Entry(entry.line(sha256, Some(offset)))).unwrap();
}

pub fn end(mut writer: ArtifactWriter, out: &Path) -> TreeFiles {
    writer.write(&tar::END).unwrap();
    named(out, &writer.finish(SourceEnd::ReadToEnd).unwrap())
}

/// An archive of these entries, each in a frame of its own.
pub fn archive(out: &Path, entries: &[(Entry, Vec<u8>)]) -> TreeFiles {
    let mut writer = writer(out);
    for (entry, content) in entries {
        put(&mut writer, entry, content);
        writer.cut_if(1).unwrap();
    }
    end(writer, out)
}
