//! Archives that others made: read, and re-written into our own form.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use maint::{
    capture::archive::{self, ArchiveError, CapturedTree},
    model::contents::{EntryKind, EntryLine},
    stream::tar::TarReader,
};
use tokio_util::sync::CancellationToken;

use crate::{
    fuzzed,
    support::{artifact, capture, events, extract, is_empty, listed, message, plain, read_back, request, stage},
    tree,
};

/// The hard tree without the one thing that GNU tar does not keep: that two names are one FIFO.
fn plant(source: &Path) {
    tree::plant(source);
    fs::remove_file(source.join("fifo-twin")).unwrap();
}

/// An archive of `source`, by GNU tar.
fn gnu_tar(source: &Path, options: &[&str]) -> Vec<u8> {
    let tar = Command::new("tar")
        .args(["--create", "--file=-", "--sort=name"])
        .args(options)
        .arg("--directory")
        .arg(source.parent().unwrap())
        .arg("source")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&tar.stderr);
    let complaints: Vec<_> = stderr.lines().filter(|line| !line.contains("socket ignored")).collect();
    assert!(tar.status.success() && complaints.is_empty(), "tar: {stderr}");
    tar.stdout
}

fn read(archive: &[u8]) -> Vec<EntryLine> {
    let mut reader = TarReader::new(CancellationToken::new());
    let mut entries = Vec::new();
    for piece in archive.chunks(100_001) {
        reader.push(Path::new("gnu.tar"), piece, &mut entries).unwrap();
    }
    reader.finish(Path::new("gnu.tar")).unwrap();
    entries
}

/// What every format keeps of an entry; times in whole seconds.
type Kept = (EntryKind, u32, u32, u64, Option<String>, Option<Vec<u8>>, Option<(u32, u32)>, i128);

fn kept(entries: Vec<EntryLine>) -> BTreeMap<Vec<u8>, Kept> {
    let kept = |e: EntryLine| {
        let seconds = e.mtime_ns.parse::<i128>().unwrap().div_euclid(1_000_000_000);
        (e.path.0, (e.kind, e.mode, e.uid, e.size, e.sha256, e.target.map(|t| t.0), e.device, seconds))
    };
    entries.into_iter().filter(|e| e.kind != EntryKind::Socket).map(kept).collect()
}

#[test]
fn gnu_tars_own_formats_are_read() {
    let stage = stage();
    plant(&stage.source);
    capture(&request(&stage.source), &stage.out).unwrap();
    let ours = kept(listed(&stage.out));
    for options in [
        &["--format=gnu"][..],
        &["--format=gnu", "--sparse"],
        &["--format=posix"],
        &["--format=posix", "--sparse", "--sparse-version=1.0", "--xattrs", "--acls"],
        &["--format=posix", "--sparse", "--sparse-version=0.1"],
        &["--format=posix", "--sparse", "--sparse-version=0.0"],
    ] {
        let theirs = kept(read(&gnu_tar(&stage.source, options)));
        let differ: Vec<_> = ours.iter().filter(|(name, entry)| theirs.get(*name) != Some(entry)).collect();
        assert!(differ.is_empty() && ours.len() == theirs.len(), "{options:?}: {differ:?}");
    }
}

#[test]
fn old_formats_are_read() {
    let stage = stage();
    fs::create_dir_all(stage.source.join(format!("{}/{}", "p".repeat(80), "q".repeat(80)))).unwrap();
    fs::write(stage.source.join("file"), b"content").unwrap();
    fs::hard_link(stage.source.join("file"), stage.source.join("twin")).unwrap();
    std::os::unix::fs::symlink("file", stage.source.join("link")).unwrap();
    capture(&request(&stage.source), &stage.out).unwrap();
    let ours = kept(listed(&stage.out));
    assert_eq!(kept(read(&gnu_tar(&stage.source, &["--format=ustar"]))), ours);
    fs::remove_dir_all(stage.source.join("p".repeat(80))).unwrap();
    let modified = fs::metadata(&stage.source).unwrap().modified().unwrap();
    let v7 = kept(read(&gnu_tar(&stage.source, &["--format=v7"])));
    assert_eq!(v7.len(), 4, "{modified:?} {v7:?}");
    assert_eq!(v7[&b"source/twin"[..]], ours[&b"source/twin"[..]]);
}

fn rewrite(archive: &[u8], strip: Option<&str>, out: &Path) -> Result<CapturedTree, ArchiveError> {
    archive::from_tar_stream(archive, "a test", strip, artifact(out), &CancellationToken::new(), &events())
}

#[test]
fn a_foreign_stream_becomes_an_archive_that_restores_the_source() {
    let stage = stage();
    plant(&stage.source);
    let options = ["--format=posix", "--sparse", "--xattrs", "--xattrs-include=*", "--acls"];
    let captured = rewrite(&gnu_tar(&stage.source, &options), None, &stage.out).unwrap();
    assert_eq!(read_back(&stage.out), listed(&stage.out));
    assert_eq!(captured.counts.entries, Some(listed(&stage.out).len() as u64));
    extract(&plain(&stage.out), &stage.restored);
    let (source, restored) = (tree::snapshot(&stage.source), tree::snapshot(&stage.restored.join("source")));
    let differences = tree::differences(&source, &restored);
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_name_of_the_directory_can_be_stripped() {
    let stage = stage();
    fs::create_dir(stage.source.join("sub")).unwrap();
    fs::write(stage.source.join("sub/file"), b"x").unwrap();
    fs::hard_link(stage.source.join("sub/file"), stage.source.join("twin")).unwrap();
    let archive = gnu_tar(&stage.source, &["--format=posix"]);
    rewrite(&archive, Some("source"), &stage.out).unwrap();
    let names: Vec<_> =
        listed(&stage.out).into_iter().map(|e| (e.path.to_string(), e.target.map(|t| t.to_string()))).collect();
    let name = |path: &str| (path.to_owned(), None);
    assert_eq!(names, [name("."), name("sub"), name("sub/file"), ("twin".into(), Some("sub/file".into()))]);
    let refused = rewrite(&archive, Some("other"), &stage.restored.with_file_name("out")).unwrap_err();
    assert!(message(&refused).contains("is not below `other`"), "{}", message(&refused));
}

#[test]
fn a_foreign_stream_that_is_cut_or_leads_out_leaves_nothing() {
    let stage = stage();
    fs::write(stage.source.join("file"), vec![1; 3000]).unwrap();
    let archive = gnu_tar(&stage.source, &["--format=posix"]);
    for length in [100, 2000, 5000] {
        let cut = rewrite(&archive[..length], None, &stage.out).unwrap_err();
        assert!(message(&cut).contains("it ends before its end mark"), "{}", message(&cut));
        assert!(is_empty(&stage.out));
    }
    let out = Command::new("tar")
        .args(["--create", "--file=-", "--absolute-names", "--transform=s,^source,../tree,", "--directory"])
        .arg(stage.source.parent().unwrap())
        .arg("source")
        .output()
        .unwrap();
    let refused = rewrite(&out.stdout, None, &stage.out).unwrap_err();
    assert!(message(&refused).contains("leads out of the archive"), "{}", message(&refused));
    assert!(is_empty(&stage.out));
}

/// The fuzz corpus is replayed, so that what was found once stays found.
#[test]
fn the_fuzz_corpus_passes() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/tar_reader");
    let files: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.len() >= 5, "{dir} holds {} files", files.len());
    for file in &files {
        for size in [1, 7, 255] {
            fuzzed::same_in_any_pieces(&file[1..], size);
        }
    }
}
