//! What a reader of archives would notice.

use std::path::Path;

use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::stream::StreamError;

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry {
        path: path.as_bytes().to_vec(),
        kind,
        mode: 0o640,
        uid: 3_000_000,
        gid: 7,
        mtime_ns: -1_500_000_000,
        size: 0,
        target: None,
        device: None,
        xattrs: Vec::new(),
        sparse: None,
    }
}

fn append(archive: &mut Vec<u8>, entry: &Entry, data: &[u8]) -> EntryLine {
    let offset = archive.len() as u64;
    encode(entry, archive).unwrap();
    archive.extend_from_slice(data);
    archive.extend_from_slice(padding(data.len() as u64));
    let mut content = vec![0; usize::try_from(entry.size).unwrap()];
    let whole = [Segment { offset: 0, bytes: entry.size }];
    let mut rest = data;
    for segment in entry.sparse.as_deref().unwrap_or(&whole) {
        let (now, later) = rest.split_at(usize::try_from(segment.bytes).unwrap());
        let at = usize::try_from(segment.offset).unwrap();
        content[at..at + now.len()].copy_from_slice(now);
        rest = later;
    }
    entry.line((entry.kind == EntryKind::File).then(|| Sha::of(&content)), Some(offset))
}

fn read(bytes: &[u8], piece: usize) -> Result<Vec<EntryLine>, StreamError> {
    let mut reader = TarReader::new(CancellationToken::new());
    let mut lines = Vec::new();
    for piece in bytes.chunks(piece) {
        reader.push(Path::new("a.tar"), piece, &mut lines)?;
    }
    reader.finish(Path::new("a.tar"))?;
    Ok(lines)
}

fn hard_cases() -> (Vec<u8>, Vec<EntryLine>) {
    let mut archive = Vec::new();
    let mut lines = vec![append(&mut archive, &entry(".", EntryKind::Directory), b"")];
    let mut file = entry("short", EntryKind::File);
    file.size = 700;
    file.xattrs = vec![
        Xattr { name: ACL_ACCESS.to_vec(), value: b"user::rw-,group::r--,other::---".to_vec() },
        Xattr { name: b"user.a=b%25".to_vec(), value: vec![0, b'\n', 255] },
    ];
    lines.push(append(&mut archive, &file, &[7; 700]));
    let mut link = entry(&"long/".repeat(60), EntryKind::Symlink);
    link.path.extend_from_slice(b"end\n\xff");
    link.target = Some(vec![b'/'; 300]);
    lines.push(append(&mut archive, &link, b""));
    let mut sparse = entry("sparse", EntryKind::File);
    sparse.size = 100_000;
    sparse.sparse = Some(vec![Segment { offset: 4096, bytes: 4096 }, Segment { offset: 50_000, bytes: 3 }]);
    lines.push(append(&mut archive, &sparse, &[1; 4099]));
    sparse.path = b"hole".to_vec();
    sparse.sparse = Some(Vec::new());
    lines.push(append(&mut archive, &sparse, b""));
    let mut device = entry("device", EntryKind::CharDevice);
    device.device = Some((1, 1_000_000));
    lines.push(append(&mut archive, &device, b""));
    let mut hard = entry("hard", EntryKind::Hardlink);
    hard.target = Some(b"short".to_vec());
    lines.push(append(&mut archive, &hard, b""));
    archive.extend_from_slice(&END);
    (archive, lines)
}

#[test]
fn every_entry_survives_in_pieces_of_any_size() {
    let (archive, lines) = hard_cases();
    for piece in [1, 7, 512, 513, 1 << 20] {
        assert_eq!(read(&archive, piece).unwrap(), lines, "in pieces of {piece} bytes");
    }
}

#[test]
fn an_archive_that_is_cut_anywhere_is_noticed() {
    let (archive, _) = hard_cases();
    for length in (0..archive.len() - 512).step_by(97) {
        assert!(read(&archive[..length], 1 << 20).is_err(), "cut to {length} bytes");
    }
    let more = [&archive[..], b"x", &[0; 511]].concat();
    assert!(read(&more, 512).unwrap_err().to_string().contains("end mark"));
}

#[test]
fn a_changed_byte_is_noticed_or_harmless() {
    let (archive, lines) = hard_cases();
    let ends = archive.len() - 1024;
    let mut silent = Vec::new();
    for at in 0..ends {
        let mut changed = archive.clone();
        changed[at] ^= 0x01;
        if read(&changed, 1 << 20).is_ok_and(|read| read == lines) {
            silent.push(at);
        }
    }
    // Padding holds nothing, and neither does what ends a checksum; a sparse map can be written in several ways.
    let sparse = lines[3].offset.unwrap()..lines[5].offset.unwrap();
    silent.retain(|at| archive[*at] != 0 && at % 512 != 155 && !sparse.contains(&(*at as u64)));
    assert_eq!(silent, Vec::<usize>::new());
}

#[test]
fn a_terabyte_hole_can_be_cancelled() {
    let mut sparse = entry("hole", EntryKind::File);
    sparse.size = 1 << 60;
    sparse.sparse = Some(Vec::new());
    let mut archive = Vec::new();
    encode(&sparse, &mut archive).unwrap();
    let cancel = CancellationToken::new();
    cancel.cancel();
    let stopped = TarReader::new(cancel).push(Path::new("a"), &archive, &mut Vec::new());
    assert!(matches!(stopped, Err(StreamError::Cancelled)));
}

#[test]
fn a_long_extension_header_is_refused_before_it_comes() {
    let mut big = entry("x", EntryKind::File);
    big.xattrs = vec![Xattr { name: b"user.x".to_vec(), value: vec![0; usize::try_from(MAX_META_BYTES).unwrap()] }];
    let mut archive = Vec::new();
    assert_eq!(encode(&big, &mut archive), Err(TooLarge));
    let mut header = [0; BLOCK];
    header[156] = b'x';
    block::put_octal(&mut header[block::SIZE], MAX_META_BYTES + 1);
    block::seal(&mut header);
    assert!(read(&header, 512).unwrap_err().to_string().contains("too long"));
}

#[test]
fn options_are_quoted_for_a_shell() {
    assert!(gnu_tar_options().contains("--xattrs-include='*' --acls"));
}

/// Blocks that look like headers more often than chance would have it.
fn blocks() -> impl Strategy<Value = Vec<u8>> {
    let (archive, _) = hard_cases();
    let real = 0..archive.len() / 512;
    let block = prop_oneof![
        real.prop_map(move |n| archive[n * 512..(n + 1) * 512].to_vec()),
        proptest::collection::vec(any::<u8>(), 512),
        (proptest::collection::vec(any::<u8>(), 512), proptest::sample::select(b"0123456xgLKS".to_vec())).prop_map(
            |(bytes, typeflag)| {
                let mut block: [u8; 512] = bytes.try_into().unwrap();
                block[block::TYPE] = typeflag;
                let length = u64::from(block[0]);
                block::put_octal(&mut block[block::SIZE], length);
                block::seal(&mut block);
                block.to_vec()
            }
        ),
    ];
    proptest::collection::vec(block, 0..12).prop_map(|blocks| blocks.concat())
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000), piece in 1usize..700) {
        let _ = read(&bytes, piece);
    }

    #[test]
    fn arbitrary_blocks_never_panic(bytes in blocks(), piece in 1usize..2000) {
        let mut parser = Parser::default();
        for piece in bytes.chunks(piece) {
            let pushed: Result<(), TarError> = parser.push(piece, &mut |_| Ok(()));
            if pushed.is_err() {
                break;
            }
        }
        let _ = parser.finish();
    }
}
