//! Certificates made to break who reads them: an error or a verdict, never a panic, and never good.

use std::{collections::BTreeMap, fs, path::Path};

use proptest::{prelude::*, sample::Index};

use crate::fuzzed::only_what_was_signed_is_good;

/// The corpus, by the files' names.
fn corpus() -> BTreeMap<String, Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/certificate");
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    });
    files.collect()
}

/// What is found once stays found.
#[test]
fn the_fuzz_corpus_passes() {
    let corpus = corpus();
    assert!(corpus.len() >= 6, "{:?}", corpus.keys());
    corpus.values().for_each(|bytes| only_what_was_signed_is_good(bytes));
}

/// One change: other bytes in the place of some, a length that lies, a piece twice, an early end.
#[derive(Debug, Clone)]
enum Change {
    Flip(Index, u8),
    Splice(Index, usize, Vec<u8>),
    Twice(Index, usize),
    Cut(Index),
}

fn change() -> impl Strategy<Value = Change> {
    let lies = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..8),
        Just(vec![0x84, 0xff, 0xff, 0xff, 0xff]),
        Just(vec![0x80]),
        Just(vec![0x30, 0x00]),
        Just(b"99991231235959Z".to_vec()),
    ];
    prop_oneof![
        4 => (any::<Index>(), 0u8..8).prop_map(|(at, bit)| Change::Flip(at, 1 << bit)),
        2 => (any::<Index>(), 0usize..16, lies).prop_map(|(at, instead_of, bytes)| Change::Splice(at, instead_of, bytes)),
        1 => (any::<Index>(), 1usize..64).prop_map(|(at, length)| Change::Twice(at, length)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    if bytes.is_empty() {
        return;
    }
    let end = |at: usize, length: usize| (at + length).min(bytes.len());
    match change {
        Change::Flip(at, bits) => {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        Change::Splice(at, instead_of, new) => {
            let at = at.index(bytes.len());
            bytes.splice(at..end(at, *instead_of), new.iter().copied());
        }
        Change::Twice(at, length) => {
            let at = at.index(bytes.len());
            let piece = bytes[at..end(at, *length)].to_vec();
            bytes.splice(at..at, piece);
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn a_changed_certificate_is_an_error_or_a_verdict_and_never_good(
        which in any::<Index>(),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let corpus = corpus();
        let (_, mut bytes) = corpus.into_iter().nth(which.index(6)).unwrap();
        changes.iter().for_each(|change| apply(&mut bytes, change));
        only_what_was_signed_is_good(&bytes);
    }
}
