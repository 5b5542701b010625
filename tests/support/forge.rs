//! A forger's work: a real set whose SQL is changed, with frames, lists and digests that agree with it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

use maint::{
    model::{
        contents::{ContentsKind, LargeObjectLine, Line, TableLine},
        manifest::{Artifact, FileDigest, Manifest},
    },
    stream::{
        StreamError,
        artifact::{ArtifactWriter, SourceEnd},
        contents::ContentsReader,
        dump::{DumpReader, DumpSyntax, Visitor},
        frames::Packing,
    },
};
use sha2::{Digest, Sha256};

/// A copy of a set that a test changes.
pub struct Forgery {
    dir: tempfile::TempDir,
    series: PathBuf,
}

/// What becomes of what the contents list says about rows and large objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// It is told anew, so that the structure agrees with the changed SQL.
    Recounted,
    /// It stays as captured, so that only reading them back can tell.
    AsCaptured,
}

impl Forgery {
    /// A copy of the set in this directory.
    pub fn of(set: &Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let series = dir.path().join("series");
        fs::create_dir(&series).unwrap();
        assert!(Command::new("cp").arg("-r").arg(set).arg(series.join("set")).status().unwrap().success());
        Self { dir, series }
    }

    /// The set's directory.
    pub fn dir(&self) -> PathBuf {
        self.series.join("set")
    }

    /// Whether something was recorded about it.
    pub fn is_recorded(&self) -> bool {
        self.series.join(".records").exists()
    }

    /// What the manifest says now.
    pub fn manifest(&self) -> Manifest {
        serde_json::from_slice(&fs::read(self.dir().join("manifest.json")).unwrap()).unwrap()
    }

    /// The SQL of the artifact that a step captured.
    pub fn sql(&self, step: &str) -> String {
        self.text(&self.artifact(step))
    }

    fn artifact(&self, step: &str) -> Artifact {
        self.manifest().artifacts.into_iter().find(|a| a.step.to_string() == step).unwrap()
    }

    fn text(&self, artifact: &Artifact) -> String {
        let packed = fs::File::open(self.dir().join(&artifact.packed.file)).unwrap();
        let mut text = String::new();
        zstd::Decoder::new(packed).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Replaces pieces of a step's SQL; each must be there once.
    #[track_caller]
    pub fn replace<'a>(&self, step: &str, pieces: impl IntoIterator<Item = (&'a str, &'a str)>, rows: Rows) {
        let mut text = self.sql(step);
        for (old, new) in pieces {
            assert_eq!(text.matches(old).count(), 1, "{old:?} in the SQL of {step}");
            text = text.replacen(old, new, 1);
        }
        self.repack(step, &text, rows);
    }

    /// The same with the properties of a step's database.
    #[track_caller]
    pub fn replace_properties<'a>(&self, step: &str, pieces: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let name = self.artifact(step).companions[0].file.clone();
        let path = self.dir().join(name);
        let mut text = fs::read_to_string(&path).unwrap();
        for (old, new) in pieces {
            assert_eq!(text.matches(old).count(), 1, "{old:?} in the properties of {step}");
            text = text.replacen(old, new, 1);
        }
        fs::write(&path, text).unwrap();
        self.agree();
    }

    fn repack(&self, step: &str, text: &str, rows: Rows) {
        let old = self.artifact(step);
        let lines: Vec<Line> = ContentsReader::open(&self.dir().join(&old.contents.file)).unwrap().map(Result::unwrap).collect();
        let packing = Packing { codec: old.codec, level: old.codec_level, workers: 0 };
        let writer = ArtifactWriter::create(&self.dir(), &old.packed.file, old.kind, packing).unwrap();
        let mut forger = Forger { writer, captured: (rows == Rows::AsCaptured).then(|| lines.clone()) };
        let is_late = |line: &&Line| matches!(line, Line::Counted { .. } | Line::Sequence(_));
        let is_made = |line: &&Line| {
            matches!(
                line,
                Line::Header { .. } | Line::Table(_) | Line::LargeObject(_) | Line::Frame(_) | Line::End { .. }
            )
        };
        for line in lines.iter().filter(|line| !is_late(line) && !is_made(line)) {
            forger.writer.record(line).unwrap();
        }
        let mut reader =
            if old.kind == ContentsKind::PostgresGlobals { DumpReader::globals() } else { DumpReader::new() };
        reader.feed(text.as_bytes(), &mut forger).unwrap();
        reader.finish().unwrap();
        for line in lines.iter().filter(is_late) {
            forger.writer.record(line).unwrap();
        }
        let packed = forger.writer.finish(SourceEnd::ReadToEnd).unwrap();
        let mut manifest = self.manifest();
        let artifact = manifest.artifacts.iter_mut().find(|a| a.packed.file == old.packed.file).unwrap();
        artifact.plain_bytes = packed.plain_bytes;
        self.write(&manifest);
        self.agree();
    }

    /// Makes manifest and SHA256SUMS agree with the files as they are now.
    fn agree(&self) {
        let mut manifest = self.manifest();
        let now = |file: &mut FileDigest| {
            let bytes = fs::read(self.dir().join(&file.file)).unwrap();
            file.bytes = bytes.len() as u64;
            file.sha256 = hash(&bytes);
        };
        for artifact in &mut manifest.artifacts {
            [&mut artifact.packed, &mut artifact.contents].into_iter().chain(&mut artifact.companions).for_each(now);
        }
        manifest.files.iter_mut().for_each(now);
        self.write(&manifest);
        let own = fs::read(self.dir().join("manifest.json")).unwrap();
        let mut sums: String = manifest.files.iter().map(|f| format!("{}  {}\n", f.sha256, f.file)).collect();
        sums += &format!("{}  manifest.json\n", hash(&own));
        fs::write(self.dir().join("SHA256SUMS"), sums).unwrap();
    }

    fn write(&self, manifest: &Manifest) {
        fs::write(self.dir().join("manifest.json"), serde_json::to_string_pretty(manifest).unwrap() + "\n").unwrap();
    }
}

fn hash(bytes: &[u8]) -> String {
    maint::model::contents::hex(&Sha256::digest(bytes))
}

/// Writes the changed SQL as maint writes a dump.
struct Forger {
    writer: ArtifactWriter,
    /// What the list said before.
    captured: Option<Vec<Line>>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "shown when a test fails")]
enum Stop {
    Syntax(DumpSyntax),
    Stream(StreamError),
}

impl From<DumpSyntax> for Stop {
    fn from(error: DumpSyntax) -> Self {
        Self::Syntax(error)
    }
}

impl Visitor for Forger {
    type Error = Stop;

    fn bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.writer.write(bytes).map_err(Stop::Stream)
    }

    fn table(&mut self, mut table: TableLine) -> Result<(), Stop> {
        let captured = self.captured.iter().flatten().find_map(|line| match line {
            Line::Table(old) if old.table == table.table => Some(old.content),
            _ => None,
        });
        if let Some(content) = captured {
            table.content = content;
        }
        self.writer.record(&Line::Table(table)).map_err(Stop::Stream)
    }

    fn large_object(&mut self, object: LargeObjectLine) -> Result<(), Stop> {
        let captured = self.captured.iter().flatten().find_map(|line| match line {
            Line::LargeObject(old) if old.oid == object.oid => Some(old.clone()),
            _ => None,
        });
        self.writer.record(&Line::LargeObject(captured.unwrap_or(object))).map_err(Stop::Stream)
    }
}
