//! `scripts/fuzz tar_reader`: the first byte is the size of the pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maint_fuzz::tar::same_in_any_pieces;

fuzz_target!(|input: &[u8]| {
    if let Some((size, archive)) = input.split_first() {
        same_in_any_pieces(archive, *size);
    }
});
