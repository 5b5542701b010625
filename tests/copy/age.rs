//! What we encrypt, age opens, and the other way round; what is not whole is never opened to its end.

use std::{fs, io::Read, path::Path};

use maint::{
    model::{
        contents::hex,
        failure::{Class, Diagnose},
        manifest::FileDigest,
        secret::Secret,
    },
    stream::encrypt::{self, EncryptError, Identities, Recipients},
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{KeyPair, edit, names, run};

fn digest(file: &str, bytes: &[u8]) -> FileDigest {
    FileDigest { file: file.into(), bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

fn identities(pair: &KeyPair) -> Identities {
    Identities::parse(&Secret::new(fs::read_to_string(pair.file()).unwrap()), &pair.file()).unwrap()
}

fn lock(dir: &Path, plain: &[u8], to: &Recipients) -> FileDigest {
    fs::write(dir.join("plain"), plain).unwrap();
    encrypt::encrypt(&dir.join("plain"), &digest("plain", plain), dir, "plain.age", to, &|_| Ok(())).unwrap()
}

fn open(dir: &Path, cipher: &str, expected: &FileDigest, with: &Identities) -> Result<(), EncryptError> {
    encrypt::decrypt(&dir.join(cipher), expected, dir, with, &|_| Ok(()))
}

/// Around age's chunk of 64 KiB, where its last chunk is special.
const LENGTHS: &[usize] = &[0, 1, 65_535, 65_536, 65_537, 131_072, 1_000_000];

#[test]
fn age_opens_what_we_encrypt_and_we_what_age_does() {
    let (pair, other) = (KeyPair::shared(), KeyPair::new());
    let to = Recipients::parse(&[&pair.recipient, &other.recipient]).unwrap();
    for length in LENGTHS {
        let dir = tempfile::tempdir().unwrap();
        let plain: Vec<u8> = (0..*length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let cipher = lock(dir.path(), &plain, &to);
        assert_eq!(cipher, digest("plain.age", &fs::read(dir.path().join("plain.age")).unwrap()));
        assert!(cipher.bytes <= encrypt::most_bytes(*length as u64, 2), "{length}");
        for key in [pair, &other] {
            let key_file = key.file();
            // With -o age writes no file at all where it is empty.
            let command = format!("age -d -i {} plain.age > opened", key_file.display());
            run("sh", &["-c", &command], dir.path());
            assert!(fs::read(dir.path().join("opened")).unwrap() == plain, "{length}");
        }
        run("age", &["-r", &pair.recipient, "-o", "theirs.age", "plain"], dir.path());
        open(dir.path(), "theirs.age", &digest("ours", &plain), &identities(pair)).unwrap();
        assert!(fs::read(dir.path().join("ours")).unwrap() == plain, "{length}");
    }
}

#[test]
fn a_source_that_is_not_what_its_manifest_says_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let to = Recipients::parse(&[&KeyPair::shared().recipient]).unwrap();
    fs::write(dir.path().join("plain"), b"changed").unwrap();
    let expected = digest("plain", b"as sealed");
    let error =
        encrypt::encrypt(&dir.path().join("plain"), &expected, dir.path(), "x.age", &to, &|_| Ok(())).unwrap_err();
    assert_eq!(error.class(), Class::Verification);
    assert_eq!(names(dir.path()), ["plain"]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_flipped_byte_and_no_other_length_is_opened(length in 0_usize..200_000, at in 0.0..1.0_f64, what in 0..3) {
        let dir = tempfile::tempdir().unwrap();
        let plain = vec![7; length];
        lock(dir.path(), &plain, &Recipients::parse(&[&KeyPair::shared().recipient]).unwrap());
        edit(&dir.path().join("plain.age"), |bytes| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a small file")]
            let place = (bytes.len() as f64 * at) as usize;
            match what {
                0 => bytes[place] ^= 1,
                1 => bytes.truncate(place),
                _ => bytes.push(0),
            }
        });
        let error = open(dir.path(), "plain.age", &digest("opened", &plain), &identities(KeyPair::shared())).unwrap_err();
        // A changed stanza looks like one for somebody else: then nothing is known. Never is it opened.
        prop_assert!(matches!(error.class(), Class::Verification | Class::Unverifiable), "{:?}", error);
        prop_assert_eq!(names(dir.path()), vec!["plain".to_owned(), "plain.age".to_owned()]);
    }
}

#[test]
fn another_key_opens_nothing_and_is_not_called_damage() {
    let dir = tempfile::tempdir().unwrap();
    lock(dir.path(), b"x", &Recipients::parse(&[&KeyPair::shared().recipient]).unwrap());
    let error = open(dir.path(), "plain.age", &digest("opened", b"x"), &identities(&KeyPair::new())).unwrap_err();
    assert!(matches!(error, EncryptError::NoMatch { .. }), "{error}");
    assert_eq!(error.class(), Class::Unverifiable);
    let both = identities(&KeyPair::new()).and(identities(KeyPair::shared()));
    let cipher = fs::read(dir.path().join("plain.age")).unwrap();
    let mut opened = both.open(&cipher[..], Path::new("x")).unwrap();
    let mut plain = String::new();
    opened.read_to_string(&mut plain).unwrap();
    assert_eq!(plain, "x");
}

#[test]
fn what_is_no_key_is_refused_and_never_shown() {
    let parse = |text: &str| Identities::parse(&Secret::new(text.into()), Path::new("id.txt")).unwrap_err().to_string();
    assert!(parse("# nothing\n\n").contains("holds no key"));
    assert!(parse("-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n").contains("itself encrypted"));
    assert!(parse("age-encryption.org/v1\n").contains("itself encrypted"));
    let said = parse("# created\nAGE-SECRET-KEY-1QQQQSECRET\n");
    assert!(said.contains("line 2") && !said.contains("QQQQ"), "{said}");

    let secret = fs::read_to_string(KeyPair::shared().file()).unwrap();
    let secret = secret.lines().last().unwrap();
    let refused = Recipients::parse(&[secret]).unwrap_err().to_string();
    assert!(refused.contains("secret key") && !refused.contains(&secret[16..30]), "{refused}");
    for bad in ["", "age1", "age1notakey", "ssh-ed25519 AAAA", "mail@example.com"] {
        assert_eq!(Recipients::parse(&[bad]).unwrap_err().class(), Class::Usage, "{bad}");
    }
    assert!(Recipients::parse::<&str>(&[]).is_err());
}
