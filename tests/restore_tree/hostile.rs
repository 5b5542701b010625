//! Archives that were made to break out: refused, nothing outside is touched, nothing is left behind.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::PathBuf};

use maint::{
    backup::restore::{RestoreError, tree::tree},
    model::{
        contents::{EntryKind, PathBytes},
        event::{EventSink, StepEvents},
        failure::{Class, Diagnose},
    },
    stream::tar::Entry,
};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::{
    archive::{Stage, stage},
    hand::{all, archive, dir, entry, file, hard, link, message, restore},
    tree::{Node, snapshot},
};

/// A stage with something outside of the target that must stay as it is.
struct Outside {
    stage: Stage,
    /// Holds the target, and what could be hit beside it.
    around: PathBuf,
    before: BTreeMap<Vec<u8>, Node>,
}

impl Outside {
    fn new() -> Self {
        let stage = stage();
        let around = stage.source.clone();
        fs::create_dir(around.join("sub")).unwrap();
        fs::write(around.join("victim"), b"outside").unwrap();
        fs::write(around.join("sub/victim"), b"outside").unwrap();
        symlink("victim", around.join("link")).unwrap();
        let before = snapshot(&around);
        Self { stage, around, before }
    }

    fn target(&self) -> PathBuf {
        self.around.join("target")
    }

    /// The same as before, times of the directory that the target was made in included or not.
    fn is_untouched(&self) {
        let root = |mut nodes: BTreeMap<Vec<u8>, Node>| {
            nodes.retain(|name, _| !name.starts_with(b"target"));
            nodes.get_mut(&b""[..]).unwrap().mtime = (0, 0);
            nodes
        };
        assert_eq!(root(snapshot(&self.around)), root(self.before.clone()), "something outside was touched");
    }

    fn refused(&self, entries: &[(Entry, Vec<u8>)]) -> RestoreError {
        let out = self.stage.out.join(format!("{}", fs::read_dir(&self.stage.out).unwrap().count()));
        fs::create_dir(&out).unwrap();
        let files = archive(&out, entries);
        let error = restore(&files, &self.target(), &all()).unwrap_err();
        self.is_untouched();
        assert!(!self.target().exists(), "something was left at the target");
        assert_eq!(fs::read_dir(&self.around).unwrap().count(), 3, "something was left beside the target");
        // The same into a directory that is there.
        fs::create_dir(self.target()).unwrap();
        restore(&files, &self.target(), &all()).unwrap_err();
        assert_eq!(fs::read_dir(self.target()).unwrap().count(), 0, "something was left in the target");
        fs::remove_dir(self.target()).unwrap();
        self.is_untouched();
        error
    }
}

#[test]
fn paths_that_lead_out_are_refused() {
    let outside = Outside::new();
    let absolute = outside.around.join("hit").display().to_string();
    for path in ["../hit", "..", "a/../../hit", &absolute, "a//b", "a/./b", "a/..", &"x".repeat(256)] {
        let error = outside.refused(&[file("first", b"1"), file(path, b"hit")]);
        assert!(matches!(error, RestoreError::RefusedPath { .. }), "{path}: {error}");
        assert_eq!(error.class(), Class::Verification);
        let error = outside.refused(&[dir(path)]);
        assert!(matches!(error, RestoreError::RefusedPath { .. }), "{path}: {error}");
    }
    let error = outside.refused(&[link(".", "sub")]);
    assert!(message(&error).contains("the root of a tree is a directory"), "{error}");
    assert!(message(&error).contains("maint verify"), "{error}");
}

#[test]
fn nothing_goes_through_a_link() {
    let outside = Outside::new();
    let around = outside.around.display().to_string();
    for target in ["..", "../sub", &around, ".", "/proc/self/cwd", "/proc/self/root"] {
        for inner in [file("l/victim", b"hit"), dir("l/new"), link("l/new", "x"), hard("l/new", "f")] {
            let error = outside.refused(&[file("f", b"mine"), link("l", target), inner.clone()]);
            assert!(matches!(error, RestoreError::Escape { .. }), "{target}: {error}");
            let deep = Entry { path: [&b"d/"[..], &inner.0.path].concat(), ..inner.0 };
            let error = outside.refused(&[file("f", b"mine"), dir("d"), link("d/l", target), (deep, inner.1)]);
            assert!(matches!(error, RestoreError::Escape { .. }), "{target}: {error}");
        }
    }
}

#[test]
fn hard_links_stay_inside() {
    let outside = Outside::new();
    let absolute = outside.around.join("victim").display().to_string();
    let of = |target: &str| outside.refused(&[file("f", b"mine"), link("l", ".."), hard("h", target)]);
    for target in ["../victim", &absolute, ".", "f/../../victim", "h", "later", "l/victim", "nowhere"] {
        let error = of(target);
        assert!(matches!(error, RestoreError::HardLink { .. }), "{target}: {error}");
        assert_eq!(error.class(), Class::Verification);
    }
    let error = outside.refused(&[dir("d"), hard("h", "d")]);
    assert!(matches!(error, RestoreError::HardLink { .. }), "{error}");
    let error = outside.refused(&[hard("h", "f"), file("f", b"later")]);
    assert!(message(&error).contains("not planted its target before it"), "{error}");
    // A hard link to a symbolic link is that link, never what it points to; nothing is written through it.
    let error = outside.refused(&[link("l", "../victim"), hard("h", "l"), file("h", b"hit")]);
    assert!(matches!(error, RestoreError::Duplicate { .. }), "{error}");
}

#[test]
fn a_name_comes_once() {
    let outside = Outside::new();
    let same = [file("a", b"1"), dir("a"), link("a", "victim"), hard("a", "f"), (entry(b"a", EntryKind::Fifo), vec![])];
    for first in &same {
        for second in &same {
            let error = outside.refused(&[file("f", b""), first.clone(), second.clone()]);
            assert!(matches!(error, RestoreError::Duplicate { .. }), "{:?} {:?}: {error}", first.0.kind, second.0.kind);
        }
    }
    let error = outside.refused(&[dir("."), dir(".")]);
    assert!(matches!(error, RestoreError::Duplicate { .. }), "{error}");
    let error = outside.refused(&[file("a", b"1"), file("a/b", b"2")]);
    assert!(message(&error).contains("is no directory"), "{}", message(&error));
}

#[test]
fn what_was_there_before_is_not_overwritten() {
    let outside = Outside::new();
    let files = archive(&outside.stage.out, &[file("a", b"new"), dir("sub")]);
    for taken in [outside.around.clone(), outside.around.join("victim"), outside.around.join("link")] {
        let error = restore(&files, &taken, &all()).unwrap_err();
        assert!(matches!(error, RestoreError::TargetNotEmpty { .. }), "{error}");
        assert_eq!(error.class(), Class::Usage);
    }
    symlink("sub", outside.around.join("target")).unwrap();
    let error = restore(&files, &outside.target(), &all()).unwrap_err();
    assert!(matches!(error, RestoreError::TargetNotEmpty { .. }), "{error}");
    for odd in ["/", "..", "missing/x"] {
        assert!(restore(&files, &outside.around.join(odd), &all()).is_err(), "{odd}");
    }
    fs::remove_file(outside.target()).unwrap();
    outside.is_untouched();
}

#[test]
fn a_node_of_another_kind_is_no_way_out() {
    let outside = Outside::new();
    let device = Entry { device: Some((1, 3)), ..entry(b"null", EntryKind::CharDevice) };
    let error = outside.refused(&[(device.clone(), vec![]), file("null", b"x")]);
    assert!(matches!(error, RestoreError::Duplicate { .. }), "{error}");
    // Links to a device that was not asked for are not made either.
    let files = archive(&outside.stage.out.join(".."), &[(device, vec![]), hard("twin", "null"), file("f", b"")]);
    let options = maint::backup::restore::tree::TreeOptions { devices: false, ..all() };
    let restored = restore(&files, &outside.target(), &options).unwrap();
    assert_eq!(restored.skipped.len(), 2, "{:?}", restored.skipped);
    assert_eq!((restored.entries, fs::read_dir(outside.target()).unwrap().count()), (1, 1));
}

/// Somebody who may write into the growing directory swaps names between two entries.
fn swapped(
    outside: &Outside,
    entries: &[(Entry, Vec<u8>)],
    swap: impl Fn(&std::path::Path) + Send + Sync + 'static,
) -> RestoreError {
    let files = archive(&outside.stage.out, entries);
    let around = outside.around.clone();
    let sink = EventSink::new(move |_| {
        let staged = fs::read_dir(&around).unwrap().map(|entry| entry.unwrap().path());
        if let Some(dir) = staged.into_iter().find(|path| path.display().to_string().contains(".maint-restore-")) {
            swap(&dir);
        }
    });
    let events = StepEvents::new(sink, "t".parse().unwrap());
    let error = tree(&files, &outside.target(), &all(), &CancellationToken::new(), &events).unwrap_err();
    outside.is_untouched();
    assert_eq!(fs::read_dir(&outside.around).unwrap().count(), 3);
    error
}

#[test]
fn a_name_that_is_swapped_meanwhile_leads_nowhere() {
    let outside = Outside::new();
    let error = swapped(&outside, &[dir("d"), file("e", b""), file("d/victim", b"hit")], |staged| {
        if fs::remove_dir(staged.join("d")).is_ok() {
            symlink("../sub", staged.join("d")).unwrap();
        }
    });
    assert!(matches!(error, RestoreError::Escape { .. }), "{error}");
    // The name of another file is not given away as a restored one; here it is one that is not outside.
    let error = swapped(&outside, &[file("f", b"mine"), file("e", b""), hard("h", "f")], |staged| {
        // Later than the kernel's clock can tell apart.
        std::thread::sleep(std::time::Duration::from_millis(12));
        if fs::remove_file(staged.join("f")).is_ok() {
            fs::write(staged.join("f"), b"theirs").unwrap();
        }
    });
    assert!(message(&error).contains("its target is not what this restore planted"), "{error}");
}

fn piece() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(vec!["a", "b", "l", "..", ".", "", "victim", "sub", "link", "target"])
}

fn path() -> impl Strategy<Value = String> {
    (any::<bool>(), proptest::collection::vec(piece(), 1..4)).prop_map(|(rooted, parts)| {
        let path = parts.join("/");
        if rooted && parts[0].len() == 1 { path.clone() } else { path.trim_start_matches('/').to_owned() }
    })
}

fn any_entry() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let target = prop_oneof![path(), path().prop_map(|path| format!("/{path}")), Just("..".to_owned())];
    (0..5, path(), target).prop_map(|(kind, path, target)| match kind {
        0 => dir(&path),
        1 => file(&path, b"hit"),
        2 => hard(&path, &target),
        3 => (entry(path.as_bytes(), EntryKind::Fifo), Vec::new()),
        _ => link(&path, &target),
    })
}

fn contained(entries: &[(Entry, Vec<u8>)], paths: Vec<PathBytes>) {
    let outside = Outside::new();
    let named = |path: &[u8]| !path.is_empty();
    let entries: Vec<_> = entries
        .iter()
        .filter(|(entry, _)| named(&entry.path) && entry.target.as_ref().is_none_or(|target| named(target)))
        .cloned()
        .collect();
    let files = archive(&outside.stage.out, &entries);
    let restored = restore(&files, &outside.target(), &maint::backup::restore::tree::TreeOptions { paths, ..all() });
    outside.is_untouched();
    let left = fs::read_dir(&outside.around).unwrap().count();
    assert_eq!(left, 3 + usize::from(restored.is_ok()), "{restored:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_archive_changes_anything_outside(entries in proptest::collection::vec(any_entry(), 0..8)) {
        contained(&entries, Vec::new());
    }

    #[test]
    fn no_part_of_an_archive_does(entries in proptest::collection::vec(any_entry(), 0..8), wanted in path()) {
        contained(&entries, vec![PathBytes(wanted.into_bytes())]);
    }
}

#[test]
fn a_change_outside_would_be_noticed() {
    let outside = Outside::new();
    outside.is_untouched();
    fs::write(outside.around.join("sub/victim"), b"changed").unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| outside.is_untouched())).is_err());
}
