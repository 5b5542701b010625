//! The comparison of a tree with a contents list sees every kind of change.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use maint::backup::restore::compare::compare_tree;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::{Stage, capture, stage},
    faithful::at_the_top,
    hand::{all, named, restore},
    tree::plant,
};

struct Restored {
    stage: Stage,
    contents: PathBuf,
}

impl Restored {
    fn new() -> Self {
        let stage = stage();
        plant(&stage.source);
        // The gigabyte of holes takes long to hash and shows nothing here.
        fs::remove_file(stage.source.join("sparse-gigabyte")).unwrap();
        let captured = capture(&at_the_top(&stage.source), &stage.out).unwrap();
        let files = named(&stage.out, &captured.packed);
        restore(&files, &stage.restored, &all()).unwrap();
        Self { contents: files.contents, stage }
    }

    fn found(&self) -> Vec<String> {
        compare_tree(&self.stage.restored, &self.contents, &CancellationToken::new()).unwrap().differences
    }

    /// Changes something, and sees that just this is found then.
    fn sees(&self, expected: &str, change: impl FnOnce(&Path)) {
        let before = self.found();
        assert!(!before.iter().any(|line| line.contains(expected)), "{expected} before the change: {before:?}");
        change(&self.stage.restored);
        let after = self.found();
        assert!(after.iter().any(|line| line.contains(expected)), "`{expected}` is not in {after:#?}");
    }
}

fn keeping_time(path: &Path, change: impl FnOnce(&Path)) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    change(path);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn content_and_attributes_that_changed_are_found() {
    let restored = Restored::new();
    assert_eq!(restored.found(), Vec::<String>::new());
    restored
        .sees("block: its SHA-256 is ", |dir| keeping_time(&dir.join("block"), |p| fs::write(p, [2; 512]).unwrap()));
    restored.sees("zero: its size is 3 instead of 0", |dir| fs::write(dir.join("zero"), "abc").unwrap());
    restored.sees("world: its mode is 644 instead of 666", |dir| mode(&dir.join("world"), 0o644));
    restored.sees("empty: its mode is 700 instead of 755", |dir| mode(&dir.join("empty"), 0o700));
    restored.sees("setuid: its mode is 755 instead of 4755", |dir| mode(&dir.join("setuid"), 0o755));
    restored.sees("secret: its owner is 1:2 instead of 3000000:4000000", |dir| {
        chown(dir.join("secret"), Some(1), Some(2)).unwrap();
    });
    restored.sees("acl: the digest of its attributes is ", |dir| {
        xattr::remove(dir.join("acl"), "system.posix_acl_access").unwrap();
    });
    restored.sees("attributes: the digest of its attributes", |dir| {
        xattr::set(dir.join("attributes"), "user.text", b"other").unwrap();
    });
    restored.sees("link-with-attribute: the digest", |dir| {
        xattr::set(dir.join("link-with-attribute"), "trusted.l", b"x").unwrap();
    });
    restored.sees("capable: the digest", |dir| xattr::remove(dir.join("capable"), "security.capability").unwrap());
    restored.sees("read-only/inside: its time is ", |dir| {
        fs::File::open(dir.join("read-only/inside")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    });
}

#[test]
fn other_kinds_and_names_are_found() {
    let restored = Restored::new();
    restored.sees("absolute: where it points is elsewhere instead of /etc/passwd", |dir| {
        fs::remove_file(dir.join("absolute")).unwrap();
        symlink("elsewhere", dir.join("absolute")).unwrap();
    });
    restored.sees("char-device: its device is 1:5 instead of 1:3", |dir| {
        fs::remove_file(dir.join("char-device")).unwrap();
        mknodat(CWD, dir.join("char-device"), FileType::CharacterDevice, Mode::from(0o660), makedev(1, 5)).unwrap();
    });
    restored.sees("fifo-twin: is not the same file as fifo", |dir| {
        fs::remove_file(dir.join("fifo-twin")).unwrap();
        mknodat(CWD, dir.join("fifo-twin"), FileType::Fifo, Mode::from(0o660), 0).unwrap();
    });
    restored.sees("many-holes: has 2 names instead of 1", |dir| {
        fs::hard_link(dir.join("many-holes"), dir.join("one-more")).unwrap();
    });
    assert!(restored.found().iter().any(|line| line == "one-more: is not in the archive"));
    restored.sees("größe-日本: is missing", |dir| fs::remove_file(dir.join("größe-日本")).unwrap());
    restored.sees("a/one/second: is missing: what it lay in is no directory", |dir| {
        fs::rename(dir.join("a/one"), dir.join("elsewhere")).unwrap();
        symlink("../elsewhere", dir.join("a/one")).unwrap();
    });
    restored.sees("sticky: it is file instead of directory", |dir| {
        fs::remove_dir(dir.join("sticky")).unwrap();
        fs::write(dir.join("sticky"), b"").unwrap();
    });
    restored.sees("empty/added: is not in the archive", |dir| fs::create_dir(dir.join("empty/added")).unwrap());
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}
