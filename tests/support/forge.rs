//! A set that somebody changed, with checksums, contents list and manifest made to agree: only a restore can notice.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::allow_attributes, reason = "tests set their stage")]

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use maint::{
    model::{
        contents::{Codec, ContentsKind, LargeObjectLine, Line, TableDigest, TableLine, TableName, hex},
        manifest::FileDigest,
    },
    stream::{
        artifact::{ArtifactWriter, SourceEnd},
        contents::ContentsReader,
        dump::{DumpReader, DumpSyntax, Visitor},
        frames::Packing,
    },
};
use sha2::{Digest, Sha256};

/// A copy of a set that was changed.
pub struct Forged {
    _dir: tempfile::TempDir,
    pub set: PathBuf,
}

/// Packs the changed SQL as the capture would.
struct Packer {
    writer: ArtifactWriter,
    /// What tables are said to hold whatever they hold.
    said: HashMap<TableName, TableDigest>,
}

#[derive(Debug)]
struct Stop;

impl From<DumpSyntax> for Stop {
    fn from(error: DumpSyntax) -> Self {
        panic!("{error}")
    }
}

impl Visitor for Packer {
    type Error = Stop;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.writer.write(bytes).unwrap();
        Ok(())
    }

    fn table(&mut self, mut table: TableLine) -> Result<(), Stop> {
        table.content = self.said.get(&table.table).copied().unwrap_or(table.content);
        self.writer.record(&Line::Table(table)).unwrap();
        Ok(())
    }

    fn large_object(&mut self, object: LargeObjectLine) -> Result<(), Stop> {
        self.writer.record(&Line::LargeObject(object)).unwrap();
        Ok(())
    }
}

impl Forged {
    pub fn of(set: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("set");
        assert!(Command::new("cp").arg("-r").arg(set).arg(&copy).status().unwrap().success());
        Self { _dir: dir, set: copy }
    }

    fn name(&self, begins: &str, ends: &str) -> String {
        let names = fs::read_dir(&self.set).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
        names.into_iter().find(|n| n.starts_with(begins) && n.ends_with(ends)).unwrap()
    }

    /// Replaces text in the SQL of a step; it must be there. Everything that the set says of itself fits.
    pub fn replace(&self, step: &str, old: &str, new: &str) {
        self.alter(step, (old, new), false);
    }

    /// The same, but the tables' digests stay as they were captured.
    pub fn replace_rows(&self, step: &str, old: &str, new: &str) {
        self.alter(step, (old, new), true);
    }

    fn alter(&self, step: &str, (old, new): (&str, &str), as_captured: bool) {
        let packed = self.name(step, ".sql.zst");
        let contents = self.name(step, ".contents.jsonl.zst");
        let plain = zstd::decode_all(&fs::read(self.set.join(&packed)).unwrap()[..]).unwrap();
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains(old), "{old} is not in the dump");
        let plain = plain.replacen(old, new, 1);
        let list = ContentsReader::open(&self.set.join(&contents)).unwrap();
        let kind = list.kind;
        let lines: Vec<Line> = list.map(Result::unwrap).collect();
        let own = |l: &&Line| !matches!(l, Line::Table(_) | Line::LargeObject(_) | Line::Frame(_) | Line::End { .. });
        let late = |l: &&Line| matches!(l, Line::Counted { .. } | Line::Sequence(_));
        for file in [&packed, &contents] {
            fs::remove_file(self.set.join(file)).unwrap();
        }
        let packing = Packing { codec: Codec::Zstd, level: 1, workers: 0 };
        let writer = ArtifactWriter::create(&self.set, &packed, kind, packing).unwrap();
        let tables = lines.iter().filter_map(|l| match l {
            Line::Table(table) if as_captured => Some((table.table.clone(), table.content)),
            _ => None,
        });
        let mut packer = Packer { writer, said: tables.collect() };
        lines.iter().filter(own).filter(|l| !late(l)).for_each(|l| packer.writer.record(l).unwrap());
        let mut reader = if kind == ContentsKind::PostgresDump { DumpReader::new() } else { DumpReader::globals() };
        reader.feed(plain.as_bytes(), &mut packer).unwrap();
        reader.finish().unwrap();
        lines.iter().filter(own).filter(late).for_each(|l| packer.writer.record(l).unwrap());
        let made = packer.writer.finish(SourceEnd::ReadToEnd).unwrap();
        self.seal(&[made.packed, made.contents], Some((&packed, made.plain_bytes)));
    }

    /// Replaces text in a companion of a step.
    pub fn companion(&self, step: &str, old: &str, new: &str) {
        let name = self.name(step, ".properties.sql");
        let text = fs::read_to_string(self.set.join(&name)).unwrap();
        assert!(text.contains(old), "{text}");
        let text = text.replacen(old, new, 1);
        fs::write(self.set.join(&name), &text).unwrap();
        let sha256 = hex(&Sha256::digest(text.as_bytes()));
        self.seal(&[FileDigest { file: name, bytes: text.len() as u64, sha256 }], None);
    }

    /// Makes manifest and SHA256SUMS agree with these files.
    fn seal(&self, files: &[FileDigest], plain: Option<(&str, u64)>) {
        let path = self.set.join("manifest.json");
        let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        update(&mut manifest, files, plain);
        let text = serde_json::to_string_pretty(&manifest).unwrap();
        fs::write(&path, &text).unwrap();
        let mut sums = String::new();
        for file in manifest["files"].as_array().unwrap() {
            sums += &format!("{}  {}\n", file["sha256"].as_str().unwrap(), file["file"].as_str().unwrap());
        }
        sums += &format!("{}  manifest.json\n", hex(&Sha256::digest(text.as_bytes())));
        fs::write(self.set.join("SHA256SUMS"), sums).unwrap();
    }
}

/// Every place of the manifest that tells of one of these files.
fn update(value: &mut serde_json::Value, files: &[FileDigest], plain: Option<(&str, u64)>) {
    if let Some(object) = value.as_object_mut() {
        let name = object.get("file").and_then(|f| f.as_str()).unwrap_or_default().to_owned();
        if let Some(file) = files.iter().find(|f| f.file == name)
            && object.contains_key("sha256")
        {
            object.insert("bytes".into(), file.bytes.into());
            object.insert("sha256".into(), file.sha256.clone().into());
        }
        if let Some((of, bytes)) = plain
            && of == name
            && object.contains_key("plain_bytes")
        {
            object.insert("plain_bytes".into(), bytes.into());
        }
        object.values_mut().for_each(|v| update(v, files, plain));
    } else if let Some(array) = value.as_array_mut() {
        array.iter_mut().for_each(|v| update(v, files, plain));
    }
}
