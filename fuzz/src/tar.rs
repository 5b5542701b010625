//! What the fuzz target `tar_reader` checks; tests/archive.rs replays the corpus with the same code.

use maint::stream::tar::{Entry, Event, Parser, TarError};

/// What a parser told, pieces of data joined.
#[derive(Debug, Default, PartialEq)]
struct Told {
    entries: Vec<(Entry, u64)>,
    /// Data of the entries; its position, and the length, of each hole in it.
    data: Vec<u8>,
    holes: Vec<(usize, u64)>,
    ends: usize,
}

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Result<(), TarError>, Told) {
    let mut told = Told::default();
    let mut parser = Parser::default();
    for piece in pieces {
        let pushed = parser.push(piece, &mut |event| {
            match event {
                Event::Entry(entry, offset) => told.entries.push((*entry, offset)),
                Event::Data(bytes) => told.data.extend_from_slice(bytes),
                Event::Hole(bytes) => told.holes.push((told.data.len(), bytes)),
                Event::EntryEnd => told.ends += 1,
            }
            Ok::<(), TarError>(())
        });
        if pushed.is_err() {
            return (pushed, told);
        }
    }
    (parser.finish(), told)
}

/// Gives every header a right checksum, so that what is inside is looked at.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut sealed = bytes.to_vec();
    for block in sealed.as_chunks_mut::<512>().0 {
        if block[257..262] == *b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    sealed
}

/// Panics when what the parser tells depends on where the pieces of the archive end, or when an entry that it tells
/// of is not whole although it found no fault.
///
/// # Panics
/// See above.
pub fn same_in_any_pieces(bytes: &[u8], size: u8) {
    let bytes = sealed(bytes);
    let whole = read(std::iter::once(&bytes[..]));
    assert_eq!(whole, read(bytes.chunks(usize::from(size.max(1)))), "the answer depends on the pieces");
    if whole.0.is_ok() {
        assert_eq!(whole.1.ends, whole.1.entries.len());
    }
}
