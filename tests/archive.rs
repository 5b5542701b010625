//! Trees: what GNU tar restores from an archive is the source, and no fault goes by in silence.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "archive/faults.rs"]
mod faults;
#[path = "archive/formats.rs"]
mod formats;
#[path = "../fuzz/src/tar.rs"]
mod fuzzed;
#[path = "archive/step.rs"]
mod step;
#[path = "support/archive.rs"]
mod support;
#[path = "support/tree.rs"]
mod tree;

use std::fs;

use maint::model::contents::EntryKind;
use support::{capture, extract, is_empty, listed, message, plain, read_back, request, stage};

#[test]
fn gnu_tar_restores_the_hard_tree_exactly() {
    let stage = stage();
    tree::plant(&stage.source);
    let captured = capture(&request(&stage.source), &stage.out).unwrap();
    assert_eq!(captured.warnings, Vec::<String>::new());
    extract(&plain(&stage.out), &stage.restored);
    let (source, restored) = (tree::snapshot(&stage.source), tree::snapshot(&stage.restored.join("source")));
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

#[test]
fn a_tree_at_the_top_keeps_its_names() {
    let stage = stage();
    tree::plant(&stage.source);
    let mut request = request(&stage.source);
    request.roots[0].name = ".".into();
    capture(&request, &stage.out).unwrap();
    extract(&plain(&stage.out), &stage.restored);
    let differences = tree::differences(&tree::snapshot(&stage.source), &tree::snapshot(&stage.restored));
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
