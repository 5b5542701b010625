//! Kills, full disks and cancellations.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use maint::{
    backup::restore::{
        RestoreError,
        tree::{self, TreeFiles, plan},
    },
    model::{
        event::{Event, EventSink, StepEvents},
        failure::{Class, Diagnose},
    },
};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::stage,
    hand::{all, archive, digest, dir, file, hard, message, restore},
};

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(next).collect()
}

struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(at: &Path, kilobytes: u32) -> Self {
        fs::create_dir(at).unwrap();
        let size = format!("size={kilobytes}k,mode=0700");
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

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn what_does_not_fit_is_refused_with_numbers_before_anything_is_written() {
    let stage = stage();
    let disk = stage.source.join("disk");
    let _small = Mounted::tmpfs(&disk, 4096);
    let files = archive(&stage.out, &[dir("."), file("large", &noise(6 << 20))]);
    for into in [disk.join("new"), disk.clone()] {
        let planned = plan(&files, &into, &all(), &CancellationToken::new()).unwrap();
        assert!(planned.needed > planned.free && planned.needed >= 6 << 20, "{planned:?}");
        let error = restore(&files, &into, &all()).unwrap_err();
        let text = message(&error);
        assert!(text.contains("disk has 4.2 MB free; 6.3 MB are needed; hint: nothing was left behind"), "{text}");
        assert!(names(&disk).is_empty());
    }
}

#[test]
fn a_disk_that_fills_up_meanwhile_leaves_nothing() {
    let stage = stage();
    let disk = stage.source.join("disk");
    let _small = Mounted::tmpfs(&disk, 4096);
    // Blocks and inodes take more than the bytes of 8000 small files.
    let entries: Vec<_> = (0..8000).map(|n| file(&format!("f{n}"), b"small")).collect();
    let files = archive(&stage.out, &[&[dir("d"), file("d/x", b"")], &entries[..]].concat());
    for into in [disk.join("new"), disk.clone()] {
        let error = restore(&files, &into, &all()).unwrap_err();
        assert!(matches!(error, RestoreError::NoSpace { .. }), "{}", message(&error));
        assert!(message(&error).contains("df -h"), "{}", message(&error));
        assert!(names(&disk).is_empty(), "{:?}", names(&disk));
    }
}

#[test]
fn a_cancelled_restore_leaves_nothing() {
    let stage = stage();
    let entries: Vec<_> = (0..20).map(|n| file(&format!("d{n}/f"), &noise(1 << 16))).collect();
    let files = archive(&stage.out, &entries);
    for existing in [false, true] {
        if existing {
            fs::create_dir(&stage.restored).unwrap();
        }
        let cancel = CancellationToken::new();
        let fire = cancel.clone();
        let sink = EventSink::new(move |event| {
            if matches!(event, Event::Progress { done, .. } if done > 1 << 19) {
                fire.cancel();
            }
        });
        let events = StepEvents::new(sink, "t".parse().unwrap());
        let error = tree::tree(&files, &stage.restored, &all(), &cancel, &events).unwrap_err();
        assert_eq!(error.class(), Class::Interrupted);
        assert_eq!(stage.restored.exists(), existing);
        assert!(!existing || names(&stage.restored).is_empty());
        assert_eq!(names(stage.out.parent().unwrap()).len(), 2 + usize::from(existing));
    }
}

fn slow(stage: &crate::archive::Stage) -> TreeFiles {
    let entries: Vec<_> = (0..3000).map(|n| file(&format!("d{}/f{n}", n / 10), &noise(2000))).collect();
    archive(&stage.out, &entries)
}

/// Restores in a child and kills it once files have come.
fn killed(stage: &crate::archive::Stage, where_to_look: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "faults::a_kill_leaves_the_target_absent"])
        .env("MAINT_TEST_KILLED", stage.out.parent().unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let staged = || names(where_to_look).into_iter().find(|name| name.contains(".maint-restore-"));
    while staged().is_none_or(|name| names(&where_to_look.join(name)).len() < 20) {
        assert!(
            begun.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none(),
            "it never came so far"
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_kill_leaves_the_target_absent() {
    if let Some(dir) = std::env::var_os("MAINT_TEST_KILLED") {
        let out = Path::new(&dir).join("out");
        let (packed, contents) = (out.join("t-1.tar.zst"), out.join("t-1.contents.jsonl.zst"));
        let files = TreeFiles {
            codec: maint::model::contents::Codec::Zstd,
            plain_bytes: fs::read_to_string(out.join("plain")).unwrap().parse().unwrap(),
            digest: digest(&packed),
            contents_digest: digest(&contents),
            packed,
            contents,
        };
        restore(&files, &Path::new(&dir).join("restored"), &all()).unwrap();
        return;
    }
    let stage = stage();
    let files = slow(&stage);
    fs::write(stage.out.join("plain"), files.plain_bytes.to_string()).unwrap();
    let top = stage.out.parent().unwrap();
    killed(&stage, top);
    assert!(!stage.restored.exists());
    // The next one succeeds, and names what the killed one has left.
    let restored = restore(&files, &stage.restored, &all()).unwrap();
    assert_eq!(restored.files, 3000);
    assert_eq!(restored.leftovers.len(), 1);
    assert!(restored.leftovers[0].is_dir());
    maint::adapters::plant::uproot(&restored.leftovers[0]).unwrap();

    // An existing directory is as good as empty then, and cannot be taken for a restored one.
    maint::adapters::plant::uproot(&stage.restored).unwrap();
    fs::create_dir(&stage.restored).unwrap();
    killed(&stage, &stage.restored);
    assert_eq!(names(&stage.restored).len(), 1);
    let error = restore(&files, &stage.restored, &all()).unwrap_err();
    assert!(message(&error).contains("a restore that was killed left "), "{}", message(&error));
}

#[test]
fn what_appears_at_the_target_meanwhile_is_not_overwritten() {
    let stage = stage();
    let files = archive(&stage.out, &[file("a", b"restored"), dir("d"), hard("b", "a"), file("z", b"last")]);
    for existing in [false, true] {
        if existing {
            fs::create_dir(&stage.restored).unwrap();
        }
        let theirs = if existing { stage.restored.join("z") } else { stage.restored.clone() };
        let path = theirs.clone();
        let sink = EventSink::new(move |event| {
            if matches!(event, Event::Progress { .. }) {
                fs::write(&path, b"theirs").unwrap();
            }
        });
        let events = StepEvents::new(sink, "t".parse().unwrap());
        let error = tree::tree(&files, &stage.restored, &all(), &CancellationToken::new(), &events).unwrap_err();
        assert!(matches!(error, RestoreError::TargetNotEmpty { .. }), "{}", message(&error));
        assert_eq!(fs::read(&theirs).unwrap(), b"theirs");
        assert_eq!(names(theirs.parent().unwrap()).len(), if existing { 1 } else { 3 });
        fs::remove_file(&theirs).unwrap();
    }
}

/// Deeper than a process has file descriptors, or a stack has room for.
#[test]
fn a_deep_tree_comes_and_goes() {
    let stage = stage();
    let mut path = String::from("d");
    let mut entries = vec![dir(&path)];
    for _ in 0..3000 {
        path.push_str("/d");
        let mut deeper = dir(&path);
        deeper.0.mode = 0;
        entries.push(deeper);
    }
    entries.push(file(&format!("{path}/f"), b"deep"));
    let whole = archive(&stage.out, &entries);
    restore(&whole, &stage.restored, &all()).unwrap();
    maint::adapters::plant::uproot(&stage.restored).unwrap();
    assert!(!stage.restored.exists());
    entries.push(dir("d"));
    let hostile = archive(&stage.source, &entries);
    let error = restore(&hostile, &stage.restored, &all()).unwrap_err();
    assert!(matches!(error, RestoreError::Duplicate { .. }), "{}", message(&error));
    assert_eq!(names(stage.out.parent().unwrap()), ["out", "source"]);
}

#[test]
fn what_cannot_be_removed_again_is_named() {
    let stage = stage();
    let files = archive(&stage.out, &[file("a", b"1"), file("b", b"2"), file("a", b"twice")]);
    let top = stage.out.parent().unwrap().to_owned();
    let staged =
        move || names(&top).into_iter().find(|name| name.contains(".maint-restore-")).map(|name| top.join(name));
    let look = staged.clone();
    let sink = EventSink::new(move |_| {
        if let Some(file) = look().map(|dir| dir.join("a")).filter(|file| file.exists()) {
            assert!(Command::new("chattr").arg("+i").arg(file).status().unwrap().success());
        }
    });
    let events = StepEvents::new(sink, "t".parse().unwrap());
    let error = tree::tree(&files, &stage.restored, &all(), &CancellationToken::new(), &events).unwrap_err();
    let left = staged().unwrap();
    assert!(Command::new("chattr").arg("-i").arg(left.join("a")).status().unwrap().success());
    let text = message(&error);
    assert!(text.starts_with("the archive holds `a` twice; what was restored so far could not be removed"), "{text}");
    assert!(text.contains(&format!("hint: remove it yourself: {}", left.display())), "{text}");
    assert_eq!(error.class(), Class::Verification);
    assert!(!stage.restored.exists());
}
