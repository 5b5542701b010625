//! Captures a tree into a temporary directory and reads the result back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use maint::{
    capture::archive::{self, ArchiveError, CapturedTree, Patterns, TreeRequest, TreeRoot},
    model::{
        contents::{Codec, ContentsKind, EntryLine, Line},
        event::{EventSink, StepEvents},
        failure::{Diagnose, chain},
    },
    stream::{
        artifact::ArtifactWriter,
        contents::ContentsReader,
        decode::{FrameReader, frames},
        frames::Packing,
        tar::{GNU_TAR_OPTIONS, TarReader},
    },
};
use tokio_util::sync::CancellationToken;

pub const ARTIFACT: &str = "t-1.tar.zst";

pub fn events() -> StepEvents {
    StepEvents::new(EventSink::none(), "t".parse().unwrap())
}

pub fn request(source: &Path) -> TreeRequest {
    TreeRequest {
        roots: vec![TreeRoot { path: source.to_owned(), name: "source".into() }],
        exclude: Patterns::default(),
        may_change: Patterns::default(),
        one_file_system: false,
    }
}

pub fn artifact(out: &Path) -> ArtifactWriter {
    let packing = Packing { codec: Codec::Zstd, level: 1, workers: 2 };
    ArtifactWriter::create(out, ARTIFACT, ContentsKind::Tree, packing).unwrap()
}

pub fn capture(request: &TreeRequest, out: &Path) -> Result<CapturedTree, ArchiveError> {
    archive::tree(request, artifact(out), &CancellationToken::new(), &events())
}

pub fn message(error: &ArchiveError) -> String {
    format!("{}; hint: {}", chain(error), error.hint().unwrap_or_default())
}

pub fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// The plain bytes of the artifact in `out`.
pub fn plain(out: &Path) -> Vec<u8> {
    zstd::decode_all(&fs::read(out.join(ARTIFACT)).unwrap()[..]).unwrap()
}

/// The entries that the contents list in `out` has.
pub fn listed(out: &Path) -> Vec<EntryLine> {
    let reader = ContentsReader::open(&out.join("t-1.contents.jsonl.zst")).unwrap();
    let lines = reader.map(Result::unwrap);
    lines.filter_map(|line| if let Line::Entry(entry) = line { Some(entry) } else { None }).collect()
}

/// The entries that stand in the archive itself, read frame by frame.
pub fn read_back(out: &Path) -> Vec<EntryLine> {
    let (codec, frames) = frames(&out.join("t-1.contents.jsonl.zst")).unwrap();
    let mut packed = FrameReader::open(&out.join(ARTIFACT), codec).unwrap();
    let mut reader = TarReader::new(CancellationToken::new());
    let mut entries = Vec::new();
    for frame in &frames {
        reader.push(Path::new(ARTIFACT), packed.read(frame).unwrap(), &mut entries).unwrap();
    }
    reader.finish(Path::new(ARTIFACT)).unwrap();
    entries
}

pub fn extract(plain: &[u8], into: &Path) {
    let archive = into.with_extension("tar");
    fs::write(&archive, plain).unwrap();
    fs::create_dir(into).unwrap();
    let tar = Command::new("tar")
        .args(["--extract", "--file"])
        .arg(&archive)
        .arg("--directory")
        .arg(into)
        .args(GNU_TAR_OPTIONS)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&tar.stderr);
    let complaints: Vec<_> = stderr.lines().filter(|line| !line.contains("time stamp")).collect();
    assert!(tar.status.success() && complaints.is_empty(), "tar: {stderr}");
    fs::remove_file(&archive).unwrap();
}

pub struct Stage {
    _dir: tempfile::TempDir,
    pub source: PathBuf,
    pub out: PathBuf,
    pub restored: PathBuf,
}

pub fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("source"), dir.path().join("out"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&out).unwrap();
    Stage { source, out, restored: dir.path().join("restored"), _dir: dir }
}
