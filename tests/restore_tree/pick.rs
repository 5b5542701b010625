//! Single paths of an archive, without decoding the rest.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use maint::{
    backup::restore::{
        RestoreError,
        tree::{TreeFiles, TreeOptions, plan},
    },
    model::contents::PathBytes,
};
use tokio_util::sync::CancellationToken;

use crate::{
    archive::stage,
    faithful::hard_tree,
    hand::{all, archive, dir, file, hard, link, message, restore},
    tree::{Node, differences, snapshot},
};

fn options(paths: &[&[u8]]) -> TreeOptions {
    TreeOptions { paths: paths.iter().map(|path| PathBytes(path.to_vec())).collect(), ..all() }
}

/// What is below `paths` in a snapshot, without what only the whole tree has: other names of the same file.
fn part(nodes: BTreeMap<Vec<u8>, Node>, wanted: impl Fn(&[u8]) -> bool) -> BTreeMap<Vec<u8>, Node> {
    let part = nodes.into_iter().filter(|(name, _)| wanted(name));
    part.map(|(name, node)| (name, Node { link_of: Vec::new(), ..node })).collect()
}

#[test]
fn files_and_directories_come_alone_and_exactly() {
    let (stage, files) = hard_tree();
    let source = snapshot(&stage.source);
    let long = "n".repeat(255);
    let cases: &[&[&[u8]]] = &[
        &["größe-日本".as_bytes()],
        &[b"not-utf8-\xff\xfe"],
        &[b"sparse-gigabyte"],
        &[b"many-holes", b"-rf"],
        &[b"deep"],
        &[b"acl-directory/", b"./sticky"],
        &[b"a/one", b"a/to-directory"],
        &[b"fifo", b"fifo-twin"],
        &[long.as_bytes()],
        &[b"large"],
    ];
    for paths in cases {
        let restored = restore(&files, &stage.restored, &options(paths)).map_err(|e| message(&e)).unwrap();
        assert_eq!(restored.skipped, Vec::<String>::new());
        let trim =
            |path: &[u8]| String::from_utf8_lossy(path).trim_start_matches("./").trim_end_matches('/').to_owned();
        let below = |name: &[u8]| {
            let name = String::from_utf8_lossy(name).into_owned();
            paths.iter().any(|path| name == trim(path) || name.starts_with(&format!("{}/", trim(path))))
        };
        let (left, right) = (part(source.clone(), below), part(snapshot(&stage.restored), below));
        assert!(!left.is_empty());
        let differences = differences(&left, &right);
        assert!(differences.is_empty(), "{}", differences.join("\n"));
        let others = part(snapshot(&stage.restored), |name| !below(name) && !is_parent(name, paths));
        assert!(others.is_empty(), "{:?}", others.keys());
        maint::adapters::plant::uproot(&stage.restored).unwrap();
    }
}

fn is_parent(name: &[u8], paths: &[&[u8]]) -> bool {
    name.is_empty() || paths.iter().any(|path| path.starts_with(name))
}

#[test]
fn a_hard_link_brings_its_content() {
    let (stage, files) = hard_tree();
    let link = "l".repeat(140);
    // `a/one/second` is the name that the archive has the content under.
    restore(&files, &stage.restored, &options(&[b"b/first", link.as_bytes()])).unwrap();
    let (one, other) = (stage.restored.join("b/first"), stage.restored.join(&link));
    assert_eq!(fs::read(&one).unwrap(), b"linked");
    assert_eq!(fs::metadata(&one).unwrap().ino(), fs::metadata(&other).unwrap().ino());
    assert_eq!(fs::metadata(&one).unwrap().nlink(), 2);
    assert!(!stage.restored.join("a").exists());
}

#[test]
fn a_link_to_a_link_says_what_to_do() {
    let stage = stage();
    let files = archive(&stage.out, &[file("a", b"x"), hard("b", "a"), hard("c", "b")]);
    let error = restore(&files, &stage.restored, &options(&[b"c"])).unwrap_err();
    assert!(message(&error).contains("its target is a link itself; ask for that too"), "{}", message(&error));
    restore(&files, &stage.restored, &options(&[b"c", b"b"])).unwrap();
    assert_eq!(fs::read(stage.restored.join("c")).unwrap(), b"x");
}

#[test]
fn patterns_pick_what_they_match() {
    let stage = stage();
    let entries =
        [dir("x"), file("x/a.log", b"1"), file("x/b.txt", b"2"), link("x/c.log", "/etc"), file("d.log", b"3")];
    let files = archive(&stage.out, &entries);
    let planned = plan(&files, &stage.restored, &options(&[b"*.log"]), &CancellationToken::new()).unwrap();
    assert_eq!((planned.entries, planned.files, planned.bytes), (3, 2, 2));
    restore(&files, &stage.restored, &options(&[b"*.log"])).unwrap();
    assert_eq!(fs::read_dir(stage.restored.join("x")).unwrap().count(), 2);
    assert_eq!(fs::read(stage.restored.join("d.log")).unwrap(), b"3");
    fs::remove_dir_all(&stage.restored).unwrap();
    restore(&files, &stage.restored, &options(&[b"x/*.t?t"])).unwrap();
    assert_eq!(fs::read_dir(stage.restored.join("x")).unwrap().count(), 1);
}

#[test]
fn what_is_not_there_gives_the_nearest_names() {
    let stage = stage();
    let entries = [file("deploy/config/app.toml", b""), file("deploy/config/db.toml", b""), file("other", b"")];
    let files = archive(&stage.out, &entries);
    for wanted in ["deploy/config/app.tml", "app.toml", "config/app.toml"] {
        let error = restore(&files, &stage.restored, &options(&[b"other", wanted.as_bytes()])).unwrap_err();
        let text = message(&error);
        assert!(matches!(error, RestoreError::NotFound { .. }), "{text}");
        assert!(text.contains(&format!("nothing at `{wanted}`; hint: near it are: deploy/config/app.toml")), "{text}");
        assert!(!stage.restored.exists());
    }
    let error = restore(&files, &stage.restored, &options(&[b"../x"])).unwrap_err();
    assert!(matches!(error, RestoreError::RefusedPath { .. }), "{error}");
}

/// Only the frames that hold what was asked for are read: all others may be lost.
#[test]
fn a_file_comes_out_of_an_archive_whose_rest_is_lost() {
    let stage = stage();
    let noise =
        |seed: u8| (0..200_000u32).map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2] ^ seed).collect::<Vec<u8>>();
    let files = archive(&stage.out, &[file("a", &noise(1)), file("b", &noise(2)), file("c", &noise(3))]);
    let damaged = spoiled(&files, &stage.out);
    restore(&damaged, &stage.restored, &options(&[b"b"])).unwrap();
    assert!(fs::read(stage.restored.join("b")).unwrap() == noise(2));
    for lost in [&b"a"[..], b"c"] {
        let error = restore(&damaged, &stage.restored.join(".."), &options(&[lost])).unwrap_err();
        assert!(!matches!(error, RestoreError::NotFound { .. }), "{error}");
        let into = stage.restored.with_file_name("lost");
        assert!(message(&restore(&damaged, &into, &options(&[lost])).unwrap_err()).contains("cannot be decoded"));
        assert!(!into.exists());
    }
}

fn spoiled(files: &TreeFiles, out: &Path) -> TreeFiles {
    let (_, frames) = maint::stream::decode::frames(&files.contents).unwrap();
    let mut bytes = fs::read(&files.packed).unwrap();
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let kept = at(frames[1].offset)..at(frames[1].offset + frames[1].bytes);
    for (position, byte) in bytes.iter_mut().enumerate() {
        if !kept.contains(&position) {
            *byte = 0;
        }
    }
    let packed: PathBuf = out.join("spoiled.tar.zst");
    fs::write(&packed, bytes).unwrap();
    TreeFiles { packed, ..files.clone() }
}
