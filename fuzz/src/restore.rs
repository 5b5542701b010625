//! What the fuzz target `restore_tree` checks; tests/restore_tree.rs replays the corpus of `tar_reader` with the same
//! code.

use std::{fs, path::Path};

use maint::{
    backup::restore::tree::{TreeFiles, TreeOptions, tree},
    model::{
        contents::{Codec, ContentsKind, Line},
        event::{EventSink, StepEvents},
    },
    stream::{
        artifact::{ArtifactWriter, SourceEnd},
        frames::Packing,
        tar::TarReader,
    },
};
use tokio_util::sync::CancellationToken;

/// Restores whatever a tar holds into a directory of `dir`, which must be empty, with a list that fits.
///
/// # Panics
/// When something else in `dir` is not as it was, or a failed restore leaves anything.
pub fn stays_inside(plain: &[u8], dir: &Path) {
    let (out, around) = (dir.join("out"), dir.join("around"));
    fs::create_dir_all(&out).expect("the stage");
    fs::create_dir_all(&around).expect("the stage");
    fs::write(around.join("victim"), b"outside").expect("the stage");
    let packing = Packing { codec: Codec::Zstd, level: 1, workers: 0 };
    let mut writer = ArtifactWriter::create(&out, "f.tar.zst", ContentsKind::Tree, packing).expect("the stage");
    let mut entries = Vec::new();
    // What can be read of a damaged one is listed.
    let _ = TarReader::new(CancellationToken::new()).push(&out, plain, &mut entries);
    writer.write(plain).expect("the stage");
    for entry in entries.into_iter().filter(|entry| entry.size < 1 << 30) {
        writer.record(&Line::Entry(entry)).expect("the stage");
    }
    let packed = writer.finish(SourceEnd::ReadToEnd).expect("the stage");
    let files = TreeFiles {
        packed: out.join(&packed.packed.file),
        contents: out.join(&packed.contents.file),
        codec: Codec::Zstd,
        plain_bytes: packed.plain_bytes,
        digest: packed.packed,
        contents_digest: packed.contents,
    };
    let options = TreeOptions { devices: false, owners: false, paths: Vec::new(), trial: false };
    let events = StepEvents::new(EventSink::none(), "f".parse().expect("a name"));
    let restored = tree(&files, &around.join("target"), &options, &CancellationToken::new(), &events);
    let left = fs::read_dir(&around).expect("the stage").count();
    assert_eq!(left, 1 + usize::from(restored.is_ok()), "{restored:?}");
    assert_eq!(fs::read(around.join("victim")).expect("the stage"), b"outside");
    assert_eq!(fs::read_dir(dir).expect("the stage").count(), 2);
}
