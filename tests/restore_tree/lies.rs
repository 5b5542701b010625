//! Archives whose parts contradict each other, and such that claim to be small.

use std::{fs, path::Path};

use maint::{
    backup::restore::{
        RestoreError,
        compare::compare_tree,
        tree::{TreeFiles, TreeOptions},
    },
    model::{
        contents::{EntryKind, Frame, Line},
        failure::{Class, Diagnose},
        manifest::FileDigest,
    },
    stream::{
        artifact::SourceEnd,
        contents::ContentsReader,
        hash::Sha,
        tar::{self, Entry, Segment},
    },
};

use tokio_util::sync::CancellationToken;

use crate::{
    archive::stage,
    hand::{all, archive, digest, dir, end, entry, file, hard, message, named, put, restore, writer},
};

/// Restores what must be refused; gives the error.
fn refused(files: &TreeFiles, into: &Path) -> RestoreError {
    let error = restore(files, into, &all()).unwrap_err();
    assert!(!into.exists());
    let beside = fs::read_dir(into.parent().unwrap()).unwrap().count();
    assert_eq!(beside, 2, "something was left beside the target");
    error
}

fn header(entry: &Entry) -> Vec<u8> {
    let mut bytes = Vec::new();
    tar::encode(entry, &mut bytes).unwrap();
    bytes
}

/// An archive of these plain bytes, with the lines of a list that need not fit.
fn odd(out: &Path, plain: &[u8], entries: &[(Entry, u64, &[u8])]) -> TreeFiles {
    let mut writer = writer(out);
    writer.write(plain).unwrap();
    for (entry, offset, content) in entries {
        let sha256 = (entry.kind == EntryKind::File).then(|| Sha::of(content));
        writer.record(&Line::Entry(entry.line(sha256, Some(*offset)))).unwrap();
    }
    named(out, &writer.finish(SourceEnd::ReadToEnd).unwrap())
}

#[test]
fn a_header_that_says_more_or_less_than_there_is() {
    let data = vec![7; 1024];
    let (honest, _) = file("f", &data);
    let (next, _) = dir("next");
    for (size, expected) in [(100, "checksum is wrong"), (1500, "where the archive holds"), (3000, "has next")] {
        let stage = stage();
        let lying = Entry { size, ..honest.clone() };
        let plain = [header(&lying), data.clone(), header(&next), tar::END.to_vec()].concat();
        let at = (header(&lying).len() + data.len()) as u64;
        let files = odd(&stage.out, &plain, &[(lying.clone(), 0, &data), (next.clone(), at, b"")]);
        let text = message(&refused(&files, &stage.restored));
        assert!(text.contains("t-1"), "{size} ({expected}): {text}");
        // The list says what is true, the header does not.
        let files = odd(&stage.source, &plain, &[(honest.clone(), 0, &data), (next.clone(), at, b"")]);
        let error = refused(&files, &stage.restored);
        assert!(message(&error).contains("says something else about f than the archive"), "{}", message(&error));
        assert_eq!(error.class(), Class::Verification);
    }
}

#[test]
fn content_that_is_not_what_the_list_says() {
    let stage = stage();
    let (entry, content) = file("f", b"forged");
    let plain = [header(&entry), content, tar::padding(6).to_vec(), tar::END.to_vec()].concat();
    let files = odd(&stage.out, &plain, &[(entry.clone(), 0, b"honest")]);
    assert!(message(&refused(&files, &stage.restored)).contains("the content of f is not what was captured"));
    let none = odd(&stage.source, &plain, &[]);
    assert!(message(&refused(&none, &stage.restored)).contains("does not have f, which the archive holds"));
    // A trial hashes contents once, when they are read back.
    let trial = TreeOptions { trial: true, ..all() };
    let target = stage.restored.with_file_name("trial");
    restore(&files, &target, &trial).unwrap();
    let compared = compare_tree(&target, &files.contents, &CancellationToken::new()).unwrap();
    assert!(compared.differences[0].contains("its SHA-256"), "{:?}", compared.differences);
}

#[test]
fn entries_that_the_archive_does_not_have() {
    let stage = stage();
    let (one, two) = (dir("one").0, dir("two").0);
    let plain = [header(&one), tar::END.to_vec()].concat();
    let files = odd(&stage.out, &plain, &[(one.clone(), 0, b""), (two.clone(), 512, b"")]);
    assert!(message(&refused(&files, &stage.restored)).contains("has two, which the archive does not hold"));
    let swapped = odd(&stage.source, &plain, &[(two, 512, b""), (one, 0, b"")]);
    assert!(message(&refused(&swapped, &stage.restored)).contains("before what it follows"));
}

/// A list that says of a file that it is only listed would make it vanish without a word.
#[test]
fn a_file_that_is_only_listed_is_refused() {
    let stage = stage();
    let mut writer = writer(&stage.out);
    put(&mut writer, &dir("a").0, b"");
    writer.record(&Line::Entry(file("b", b"x").0.line(Some(Sha::of(b"x")), None))).unwrap();
    let files = end(writer, &stage.out);
    let text = message(&refused(&files, &stage.restored));
    assert!(text.contains("says of b that the archive does not hold it"), "{text}");
}

/// Frames are kept in memory; a list of a few kilobytes can name billions of them.
#[test]
fn more_frames_than_the_archive_can_hold_are_refused() {
    let stage = stage();
    let honest = archive(&stage.out, &[file("f", b"small")]);
    let digest = FileDigest { bytes: 17, ..honest.digest.clone() };
    let text = message(&refused(&TreeFiles { digest, ..honest }, &stage.restored));
    assert!(text.contains("has more frames than the archive can hold"), "{text}");
}

#[test]
fn numbers_beyond_all_bounds_are_refused() {
    for (size, offset) in [(u64::MAX, 0), (1 << 62, 0), (u64::MAX, u64::MAX), (8, u64::MAX - 3)] {
        let stage = stage();
        let huge = Entry { size, ..entry(b"f", EntryKind::File) };
        let small = Entry { size: 0, ..huge.clone() };
        let plain = [header(&small), tar::END.to_vec()].concat();
        let files = odd(&stage.out, &plain, &[(huge, offset, b"")]);
        refused(&files, &stage.restored);
        let paths = vec![maint::model::contents::PathBytes(b"f".to_vec())];
        let options = TreeOptions { paths, ..all() };
        restore(&files, &stage.restored, &options).unwrap_err();
        assert!(!stage.restored.exists());
    }
}

/// A hole takes no space in the archive; it must not take any on the disk either, whatever it says.
#[test]
fn a_hole_of_an_exbibyte_is_refused_by_the_file_system() {
    let stage = stage();
    let sparse = Some(vec![Segment { offset: (1 << 60) - 4, bytes: 4 }]);
    let bomb = Entry { size: 1 << 60, sparse, ..entry(b"bomb", EntryKind::File) };
    let plain = [header(&bomb), b"tail".to_vec(), tar::padding(4).to_vec(), tar::END.to_vec()].concat();
    let files = odd(&stage.out, &plain, &[(bomb, 0, b"")]);
    let error = refused(&files, &stage.restored);
    assert!(message(&error).contains("making room for `bomb`: File too large"), "{}", message(&error));
}

/// Packs a frame that gives gigabytes, and lies about it in the list.
#[test]
fn a_frame_that_unpacks_to_more_than_the_list_says() {
    let stage = stage();
    let honest = archive(&stage.out, &[file("f", b"small")]);
    let bomb = zstd::bulk::compress(&vec![0; 1 << 30], 1).unwrap();
    assert!(bomb.len() < 1 << 18);
    let plain = honest.plain_bytes;
    let packed = stage.out.join("bomb.tar.zst");
    fs::write(&packed, &bomb).unwrap();
    let packed_digest = digest(&packed);
    for claimed in [plain, 1 << 24, 1 << 30, 1 << 40] {
        let contents = relisted(&honest.contents, bomb.len() as u64, claimed);
        let contents_digest = digest(&contents);
        let files = TreeFiles { packed: packed.clone(), contents, plain_bytes: claimed, ..honest.clone() };
        let files = TreeFiles { digest: packed_digest.clone(), contents_digest, ..files };
        let error = refused(&files, &stage.restored);
        assert_eq!(error.class(), Class::Verification, "{}", message(&error));
    }
    // A list that claims more than the manifest.
    let contents = relisted(&honest.contents, bomb.len() as u64, 1 << 24);
    let contents_digest = digest(&contents);
    let files = TreeFiles { packed, contents, digest: packed_digest, contents_digest, ..honest };
    let error = refused(&files, &stage.restored);
    assert!(matches!(error, RestoreError::Size { found: 16_777_216, .. }), "{}", message(&error));
}

/// The list with a single frame of other lengths.
fn relisted(contents: &Path, bytes: u64, plain_bytes: u64) -> std::path::PathBuf {
    let mut text = String::new();
    let header = zstd::decode_all(&fs::read(contents).unwrap()[..]).unwrap();
    text.push_str(std::str::from_utf8(header.split_inclusive(|b| *b == b'\n').next().unwrap()).unwrap());
    for line in ContentsReader::open(contents).unwrap() {
        let line = match line.unwrap() {
            Line::Frame(frame) if frame.offset > 0 => continue,
            Line::Frame(frame) => Line::Frame(Frame { bytes, plain_bytes, ..frame }),
            Line::End { objects, .. } => Line::End { frames: 1, objects, plain_bytes, packed_bytes: bytes },
            line => line,
        };
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    }
    let path = contents.with_file_name("relisted.contents.jsonl.zst");
    fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    path
}

#[test]
fn an_archive_that_the_manifest_does_not_know() {
    let stage = stage();
    let files = archive(&stage.out, &[file("f", b"x"), hard("h", "f")]);
    let wrong = |right: &FileDigest| FileDigest { sha256: Sha::of(b""), ..right.clone() };
    let packed = TreeFiles { digest: wrong(&files.digest), ..files.clone() };
    let list = TreeFiles { contents_digest: wrong(&files.contents_digest), ..files.clone() };
    for (files, name) in [(packed, "t-1.tar.zst: its length"), (list, "t-1.contents.jsonl.zst: its length")] {
        let text = message(&refused(&files, &stage.restored));
        assert!(text.contains(name) && text.contains("SHA-256 is not what its manifest says"), "{text}");
    }
    let mut bytes = fs::read(&files.packed).unwrap();
    bytes.truncate(bytes.len() - 5);
    fs::write(&files.packed, bytes).unwrap();
    assert!(message(&refused(&files, &stage.restored)).contains("ends inside the frame"));
}

#[test]
fn a_list_of_something_else_is_refused() {
    let stage = stage();
    let mut writer = writer(&stage.out);
    put(&mut writer, &dir("a").0, b"");
    let files = end(writer, &stage.out);
    let text = zstd::decode_all(&fs::read(&files.contents).unwrap()[..]).unwrap();
    let text = String::from_utf8(text).unwrap().replace(r#""kind":"tree""#, r#""kind":"postgres_dump""#);
    fs::write(&files.contents, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    let files = TreeFiles { contents_digest: digest(&files.contents), ..files };
    assert!(message(&refused(&files, &stage.restored)).contains("is not the list of a tree"));
}

/// What was found once by the fuzz target of the reader is restored too, as far as it can be.
#[test]
fn the_fuzz_corpus_stays_inside() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/tar_reader");
    let files: Vec<_> = fs::read_dir(corpus).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap()).collect();
    assert!(files.len() >= 5);
    for file in &files {
        let dir = tempfile::tempdir().unwrap();
        crate::fuzzed::stays_inside(&file[1..], dir.path());
    }
}
