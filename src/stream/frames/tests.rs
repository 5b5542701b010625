//! What a reader of the frames would notice.

use std::io::Read;

use super::*;

fn pack(workers: usize, codec: Codec, parts: &[Vec<u8>]) -> (Vec<u8>, Vec<Frame>) {
    let dir = tempfile::tempdir().unwrap();
    let packing = Packing { codec, level: 3, workers };
    let mut writer = FrameWriter::create(dir.path(), "x", packing).unwrap();
    for part in parts {
        writer.write(part).unwrap();
        writer.cut(true).unwrap();
    }
    let done = writer.finish().unwrap();
    let frames = done.frames.clone();
    done.publish().unwrap();
    (std::fs::read(dir.path().join("x")).unwrap(), frames)
}

fn parts() -> Vec<Vec<u8>> {
    (0..7u8).map(|i| vec![i; 100_000 * usize::from(i)]).collect()
}

#[test]
fn every_tool_reads_the_frames_as_one_stream() {
    let plain = parts().concat();
    let (packed, frames) = pack(2, Codec::Zstd, &parts());
    assert_eq!(zstd::decode_all(&packed[..]).unwrap(), plain);
    assert_eq!(frames.len(), 6);
    assert_eq!(frames.iter().map(|f| f.bytes).sum::<u64>(), packed.len() as u64);
    let (packed, _) = pack(2, Codec::Gzip, &parts());
    let mut back = Vec::new();
    flate2::read::MultiGzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
    assert_eq!(back, plain);
}

#[test]
fn frames_do_not_depend_on_the_workers() {
    assert_eq!(pack(1, Codec::Zstd, &parts()), pack(4, Codec::Zstd, &parts()));
    let (packed, frames) = pack(0, Codec::Zstd, &parts());
    assert_eq!(zstd::decode_all(&packed[..]).unwrap(), parts().concat());
    assert_eq!(frames.len(), 6);
}

#[test]
fn a_huge_row_is_cut_at_the_limit() {
    let (_, frames) = pack(0, Codec::Zstd, &[vec![7; 40 << 20]]);
    assert!(frames.iter().all(|f| f.plain_bytes <= MAX_FRAME_BYTES));
    assert_eq!(frames.iter().map(|f| f.aligned).collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn rewinding_leaves_no_trace() {
    for workers in [0, 2] {
        let dir = tempfile::tempdir().unwrap();
        let packing = Packing { codec: Codec::Zstd, level: 3, workers };
        let mut writer = FrameWriter::create(dir.path(), "x", packing).unwrap();
        writer.write(b"kept ").unwrap();
        let mark = writer.mark().unwrap();
        writer.write(&vec![1; 20 << 20]).unwrap();
        writer.rewind(&mark).unwrap();
        writer.write(b"too").unwrap();
        let done = writer.finish().unwrap();
        let sha = done.sha256.clone();
        done.publish().unwrap();
        let packed = std::fs::read(dir.path().join("x")).unwrap();
        assert_eq!(zstd::decode_all(&packed[..]).unwrap(), b"kept too");
        assert_eq!(Sha::of(&packed), sha);
    }
}
