//! Trees: what GNU tar restores from an archive is the source, and no fault goes by in silence.

#![expect(clippy::disallowed_methods, reason = "tests set their stage")]

#[path = "support/tree.rs"]
mod tree;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use maint::{
    capture::archive::{self, ArchiveError, CapturedTree, Patterns, TreeRequest, TreeRoot},
    model::{
        contents::{Codec, ContentsKind, EntryKind, EntryLine, Line},
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

const ARTIFACT: &str = "t-1.tar.zst";

fn events() -> StepEvents {
    StepEvents::new(EventSink::none(), "t".parse().unwrap())
}

fn request(source: &Path) -> TreeRequest {
    TreeRequest {
        roots: vec![TreeRoot { path: source.to_owned(), name: "tree".into() }],
        exclude: Patterns::default(),
        may_change: Patterns::default(),
        one_file_system: false,
    }
}

fn artifact(out: &Path) -> ArtifactWriter {
    let packing = Packing { codec: Codec::Zstd, level: 1, workers: 2 };
    ArtifactWriter::create(out, ARTIFACT, ContentsKind::Tree, packing).unwrap()
}

fn capture(request: &TreeRequest, out: &Path) -> Result<CapturedTree, ArchiveError> {
    archive::tree(request, artifact(out), &CancellationToken::new(), &events())
}

fn message(error: &ArchiveError) -> String {
    format!("{}; hint: {}", chain(error), error.hint().unwrap_or_default())
}

fn is_empty(dir: &Path) -> bool {
    fs::read_dir(dir).unwrap().next().is_none()
}

/// The plain bytes of the artifact in `out`.
fn plain(out: &Path) -> Vec<u8> {
    zstd::decode_all(&fs::read(out.join(ARTIFACT)).unwrap()[..]).unwrap()
}

/// The entries that the contents list in `out` has.
fn listed(out: &Path) -> Vec<EntryLine> {
    let reader = ContentsReader::open(&out.join("t-1.contents.jsonl.zst")).unwrap();
    let lines = reader.map(Result::unwrap);
    lines.filter_map(|line| if let Line::Entry(entry) = line { Some(entry) } else { None }).collect()
}

/// The entries that stand in the archive itself, read frame by frame.
fn read_back(out: &Path) -> Vec<EntryLine> {
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

fn extract(plain: &[u8], into: &Path) {
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

struct Stage {
    _dir: tempfile::TempDir,
    source: PathBuf,
    out: PathBuf,
    restored: PathBuf,
}

fn stage() -> Stage {
    let dir = tempfile::tempdir().unwrap();
    let (source, out) = (dir.path().join("source"), dir.path().join("out"));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&out).unwrap();
    Stage { source, out, restored: dir.path().join("restored"), _dir: dir }
}

#[test]
fn gnu_tar_restores_the_hard_tree_exactly() {
    let stage = stage();
    tree::plant(&stage.source);
    let captured = capture(&request(&stage.source), &stage.out).unwrap();
    assert_eq!(captured.warnings, Vec::<String>::new());
    extract(&plain(&stage.out), &stage.restored);
    let (source, restored) = (tree::snapshot(&stage.source), tree::snapshot(&stage.restored.join("tree")));
    let differences = tree::differences(&source, &restored);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(source.len() >= 54, "the tree has become easy: {} nodes", source.len());

    let listed = listed(&stage.out);
    let stored: Vec<_> = listed.iter().filter(|entry| entry.offset.is_some()).cloned().collect();
    assert_eq!(read_back(&stage.out), stored);
    let only_listed: Vec<_> = listed.iter().filter(|entry| entry.offset.is_none()).map(|e| e.kind).collect();
    assert_eq!(only_listed, [EntryKind::Socket]);
    assert_eq!(captured.counts.entries, Some(listed.len() as u64));
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let stage = stage();
    tree::plant(&stage.source);
    let again = stage.out.join("again");
    fs::create_dir(&again).unwrap();
    let first = capture(&request(&stage.source), &stage.out).unwrap();
    let second = capture(&request(&stage.source), &again).unwrap();
    assert_eq!(first, second);
}

#[test]
fn a_path_that_is_missing_or_a_link_fails() {
    let stage = stage();
    std::os::unix::fs::symlink(&stage.source, stage.out.join("link")).unwrap();
    let missing = capture(&request(&stage.source.join("gone")), &stage.out).unwrap_err();
    assert!(message(&missing).contains("gone does not exist; hint: correct `paths`"), "{}", message(&missing));
    let link = capture(&request(&stage.out.join("link")), &stage.out).unwrap_err();
    assert!(message(&link).contains("is a symbolic link"), "{}", message(&link));
    fs::remove_file(stage.out.join("link")).unwrap();
    assert!(is_empty(&stage.out));
}
