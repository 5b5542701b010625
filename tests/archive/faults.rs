//! What happens to a tree while it is read, and to the disk that the archive is written to.
//!
//! The capture tells its progress in its own thread after every 16 MiB: there the tests change the tree, so that each
//! change falls into the middle of a file, every time.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::{FileExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use maint::{
    capture::archive::{self, ArchiveError, CapturedTree, Patterns, TreeRequest, TreeRoot},
    model::{
        contents::{EntryKind, EntryLine},
        event::{Event, EventSink, StepEvents},
        failure::{Class, Diagnose},
    },
};
use tokio_util::sync::CancellationToken;

use crate::support::{Stage, artifact, capture, extract, is_empty, listed, message, plain, read_back, request, stage};

const MEGABYTE: u64 = 1 << 20;
/// More than one progress event's bytes, so that there is one in the middle.
const LARGE: u64 = 18 * MEGABYTE;

/// Bytes that do not compress and differ from each other.
fn noise(length: u64) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::new();
    while (bytes.len() as u64) < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(usize::try_from(length).unwrap());
    bytes
}

/// Captures, and calls `change` with 1, 2, … at each progress event.
fn capture_while(
    request: &TreeRequest,
    out: &Path,
    cancel: &CancellationToken,
    change: impl Fn(u32) + Send + Sync + 'static,
) -> Result<CapturedTree, ArchiveError> {
    let calls = AtomicU32::new(0);
    let sink = EventSink::new(move |event| {
        if matches!(event, Event::Progress { .. }) {
            change(calls.fetch_add(1, Ordering::SeqCst) + 1);
        }
    });
    archive::tree(request, artifact(out), cancel, &StepEvents::new(sink, "t".parse().unwrap()))
}

fn with_large_file() -> (Stage, PathBuf) {
    let stage = stage();
    let large = stage.source.join("large");
    fs::write(&large, noise(LARGE)).unwrap();
    (stage, large)
}

fn patterns(patterns: &[&str]) -> Patterns {
    Patterns::new(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>()).unwrap()
}

fn write_at(path: &Path, offset: u64) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(&noise(8), offset).unwrap();
}

fn listed_without_remarks(out: &Path) -> Vec<EntryLine> {
    listed(out).into_iter().map(|entry| EntryLine { remark: None, ..entry }).collect()
}

/// The archive holds what its list says, and GNU tar restores it.
fn check_whole(stage: &Stage) {
    assert_eq!(read_back(&stage.out), listed_without_remarks(&stage.out));
    extract(&plain(&stage.out), &stage.restored);
}

#[test]
fn a_file_that_grows_is_stored_as_long_as_it_was() {
    let (stage, large) = with_large_file();
    let path = large.clone();
    let captured = capture_while(&request(&stage.source), &stage.out, &CancellationToken::new(), move |_| {
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"one more line\n").unwrap();
    });
    let warnings = captured.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].ends_with("large: it grew while it was read; the first 18874368 bytes are stored"));
    check_whole(&stage);
    assert!(fs::read(stage.restored.join("source/large")).unwrap() == noise(LARGE));
}

#[test]
fn a_file_that_grows_and_is_rewritten_is_not_taken_for_one_that_grows() {
    let (stage, large) = with_large_file();
    let path = large.clone();
    let captured = capture_while(&request(&stage.source), &stage.out, &CancellationToken::new(), move |_| {
        write_at(&path, 0);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0; 100]).unwrap();
        write_at(&path, 1);
    });
    // The second reading grows too, but what was stored of it is what is there: the first bytes are the same now.
    let warnings = captured.unwrap().warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    check_whole(&stage);
    let now = fs::read(&large).unwrap();
    let restored = fs::read(stage.restored.join("source/large")).unwrap();
    assert!(restored[..] == now[..restored.len()]);
    assert!(restored.len() as u64 > LARGE);
}

#[test]
fn a_file_rewritten_once_is_read_again() {
    let (stage, large) = with_large_file();
    fs::write(stage.source.join("before"), b"small").unwrap();
    let path = large.clone();
    let captured = capture_while(&request(&stage.source), &stage.out, &CancellationToken::new(), move |call| {
        if call == 1 {
            write_at(&path, 3);
        }
    });
    assert_eq!(captured.unwrap().warnings, Vec::<String>::new());
    check_whole(&stage);
    assert!(fs::read(stage.restored.join("source/large")).unwrap() == fs::read(&large).unwrap());
}

#[test]
fn a_file_that_is_always_rewritten_fails_unless_it_may_change() {
    let (stage, large) = with_large_file();
    let change = move |call| write_at(&large, u64::from(call));
    let mut request = request(&stage.source);
    let failed = capture_while(&request, &stage.out, &CancellationToken::new(), change.clone()).unwrap_err();
    let text = message(&failed);
    assert!(text.contains("large changed each of the 4 times that it was read; hint: stop what writes it"), "{text}");
    assert!(is_empty(&stage.out));

    request.may_change = patterns(&["lar*"]);
    let captured = capture_while(&request, &stage.out, &CancellationToken::new(), change).unwrap();
    assert!(captured.warnings[0].contains("large: it was rewritten while it was read"), "{:?}", captured.warnings);
    assert_eq!(listed(&stage.out)[1].remark.as_deref(), Some("it was rewritten while it was read"));
    assert_eq!(read_back(&stage.out), listed_without_remarks(&stage.out));
}

#[test]
fn a_file_that_shrinks_is_read_again_and_filled_with_zeros_where_it_may_change() {
    let (stage, large) = with_large_file();
    let shrink = move |call| {
        let less = LARGE - u64::from(call) * 4096;
        OpenOptions::new().write(true).open(&large).unwrap().set_len(less).unwrap();
    };
    let mut request = request(&stage.source);
    let failed = capture_while(&request, &stage.out, &CancellationToken::new(), shrink.clone()).unwrap_err();
    assert!(matches!(failed, ArchiveError::Changed { .. }), "{failed}");
    assert!(is_empty(&stage.out));

    fs::write(stage.source.join("large"), noise(LARGE)).unwrap();
    request.may_change = patterns(&["source/large"]);
    let captured = capture_while(&request, &stage.out, &CancellationToken::new(), shrink).unwrap();
    assert!(
        captured.warnings[0].contains("it shrank while it was read; its end was filled"),
        "{:?}",
        captured.warnings
    );
    extract(&plain(&stage.out), &stage.restored);
    let restored = fs::read(stage.restored.join("source/large")).unwrap();
    assert_eq!(restored.len() as u64, LARGE - 3 * 4096);
    assert!(restored.ends_with(&[0; 4096]));
}

#[test]
fn what_vanishes_is_a_warning() {
    let (stage, _) = with_large_file();
    for name in ["later-file", "later-kept"] {
        fs::write(stage.source.join(name), b"x").unwrap();
    }
    fs::create_dir(stage.source.join("later-directory")).unwrap();
    symlink("x", stage.source.join("later-link")).unwrap();
    let source = stage.source.clone();
    let captured = capture_while(&request(&stage.source), &stage.out, &CancellationToken::new(), move |_| {
        fs::remove_file(source.join("later-file")).unwrap();
        fs::remove_file(source.join("later-link")).unwrap();
        fs::remove_dir(source.join("later-directory")).unwrap();
    });
    let warnings = captured.unwrap().warnings;
    assert_eq!(warnings.len(), 3);
    assert!(warnings.iter().all(|w| w.ends_with("it vanished before it could be read")), "{warnings:?}");
    let names: Vec<_> = listed(&stage.out).into_iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["source", "source/large", "source/later-kept"]);
    check_whole(&stage);
}

#[test]
fn a_link_that_takes_the_place_of_a_directory_leads_nowhere() {
    let (stage, _) = with_large_file();
    let outside = stage.out.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), b"secret").unwrap();
    fs::create_dir(stage.source.join("later")).unwrap();
    fs::write(stage.source.join("later-file"), b"x").unwrap();
    let (source, target) = (stage.source.clone(), outside.clone());
    let captured = capture_while(&request(&stage.source), &stage.out, &CancellationToken::new(), move |_| {
        fs::remove_dir(source.join("later")).unwrap();
        symlink(&target, source.join("later")).unwrap();
        fs::remove_file(source.join("later-file")).unwrap();
        symlink(target.join("secret"), source.join("later-file")).unwrap();
    });
    captured.unwrap();
    let kinds: Vec<_> = listed(&stage.out).into_iter().map(|entry| (entry.path.to_string(), entry.kind)).collect();
    assert_eq!(
        kinds[2..],
        [("source/later".into(), EntryKind::Symlink), ("source/later-file".into(), EntryKind::Symlink)]
    );
}

#[test]
fn a_cancelled_capture_leaves_nothing() {
    let (stage, _) = with_large_file();
    let cancel = CancellationToken::new();
    let fire = cancel.clone();
    let failed = capture_while(&request(&stage.source), &stage.out, &cancel, move |_| fire.cancel()).unwrap_err();
    assert_eq!(failed.class(), Class::Interrupted);
    assert!(is_empty(&stage.out));
}

#[test]
fn what_cannot_be_read_fails_with_path_and_remedy() {
    let stage = stage();
    fs::write(stage.source.join("readable"), b"x").unwrap();
    fs::write(stage.source.join("secret"), b"x").unwrap();
    fs::set_permissions(stage.source.join("secret"), PermissionsExt::from_mode(0o600)).unwrap();
    for dir in [stage.out.parent().unwrap(), &stage.out] {
        fs::set_permissions(dir, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let as_nobody = |request: TreeRequest, out: PathBuf| {
        // Linux keeps a user id for each thread.
        std::thread::spawn(move || {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("this test needs root");
            capture(&request, &out)
        })
        .join()
        .unwrap()
    };
    let mut request = request(&stage.source);
    let text = message(&as_nobody(request.clone(), stage.out.clone()).unwrap_err());
    assert!(text.contains("opening /") && text.contains("source/secret: Permission denied"), "{text}");
    assert!(text.contains("leave it out with `exclude`; see: namei -l /"), "{text}");
    assert!(is_empty(&stage.out));
    request.exclude = patterns(&["secret"]);
    let captured = as_nobody(request, stage.out.clone()).unwrap();
    assert_eq!(captured.counts.files, Some(1));
}

struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, megabytes: u32) -> Self {
        let size = format!("size={megabytes}M,mode=0700");
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).status().unwrap();
        assert!(status.success(), "this test needs root: mount");
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_fails_and_leaves_nothing() {
    let (stage, _) = with_large_file();
    let _small = Mounted::tmpfs(&stage.out, 4);
    let failed = capture(&request(&stage.source), &stage.out).unwrap_err();
    assert!(message(&failed).contains("the disk is full"), "{}", message(&failed));
    assert!(is_empty(&stage.out));
}

#[test]
fn other_file_systems_are_entered_unless_told_not_to() {
    let stage = stage();
    let inner = stage.source.join("mounted");
    fs::create_dir(&inner).unwrap();
    let _mounted = Mounted::tmpfs(&inner, 1);
    fs::write(inner.join("file"), b"x").unwrap();
    let mut request = request(&stage.source);
    assert_eq!(capture(&request, &stage.out).unwrap().counts.files, Some(1));
    request.one_file_system = true;
    assert_eq!(capture(&request, &stage.out).unwrap().counts.files, Some(0));
    assert_eq!(listed(&stage.out)[1].remark.as_deref(), Some("another file system; not entered"));
}

#[test]
fn a_file_of_the_kernels_without_a_size_fails() {
    let stage = stage();
    let mut request = request(&stage.source);
    request.roots = vec![TreeRoot { path: "/proc/version".into(), name: "version".into() }];
    let failed = capture(&request, &stage.out).unwrap_err();
    assert!(message(&failed).contains("/proc/version holds more than its size says"), "{}", message(&failed));
}

#[test]
fn excluded_names_are_left_out_with_everything_below() {
    let stage = stage();
    fs::create_dir_all(stage.source.join("cache/deep")).unwrap();
    File::create(stage.source.join("cache/deep/x")).unwrap();
    File::create(stage.source.join("a.log")).unwrap();
    File::create(stage.source.join("kept")).unwrap();
    let mut request = request(&stage.source);
    request.exclude = patterns(&["*.log", "source/cache"]);
    capture(&request, &stage.out).unwrap();
    let names: Vec<_> = listed(&stage.out).into_iter().map(|entry| entry.path.to_string()).collect();
    assert_eq!(names, ["source", "source/kept"]);
}
