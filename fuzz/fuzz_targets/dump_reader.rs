//! `scripts/fuzz dump_reader`: the first byte says how many of the next are the pieces' sizes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maint_fuzz::splits::same_in_any_pieces;

fuzz_target!(|input: &[u8]| {
    if let Some((count, rest)) = input.split_first() {
        let (sizes, sql) = rest.split_at(usize::from(count % 8).min(rest.len()));
        same_in_any_pieces(sql, sizes);
    }
});
