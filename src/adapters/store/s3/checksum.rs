//! SHA-256 as S3 writes it: base64, and for an object of parts the digest of the parts' digests.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::model::contents::unhex;

/// One SHA-256.
pub(super) type Sum = [u8; 32];

/// A digest as the headers have it.
pub(super) fn encode(sum: &Sum) -> String {
    STANDARD.encode(sum)
}

/// A digest that a manifest has in hex; `None`: it is none.
pub(super) fn from_hex(text: &str) -> Option<Sum> {
    unhex(text)?.try_into().ok()
}

/// What the server's checksum of an object may be, when its content is right.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    whole: String,
    composite: Option<String>,
}

impl Expected {
    /// Of an object that is sent whole.
    pub(super) fn whole(sum: &Sum) -> Self {
        Self { whole: encode(sum), composite: None }
    }

    /// Of an object that is sent in parts.
    pub(super) fn of_parts<'a>(whole: &Sum, parts: impl Iterator<Item = &'a Sum>) -> Self {
        let mut sha = Sha256::new();
        parts.for_each(|sum| sha.update(sum));
        Self { whole: encode(whole), composite: Some(encode(&sha.finalize().into())) }
    }

    /// Whether the server's word agrees. Some servers write the number of parts behind a composite, some do not.
    pub(super) fn agrees(&self, said: &str) -> bool {
        let bare = said.split_once('-').map_or(said, |(sum, _)| sum);
        said == self.whole || self.composite.as_deref() == Some(bare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composite_is_the_digest_of_digests() {
        let sums: Vec<Sum> = [b"one".as_slice(), b"two"].iter().map(|part| Sha256::digest(part).into()).collect();
        let whole: Sum = Sha256::digest(b"onetwo").into();
        let expected = Expected::of_parts(&whole, sums.iter());
        // base64(sha256(sha256("one") + sha256("two"))), made by another program.
        assert!(expected.agrees("EZFMGaKKmMV9EvPM5sMreUR4T0tHgacGwk6x3ChOKFY=-2"));
        assert!(expected.agrees("EZFMGaKKmMV9EvPM5sMreUR4T0tHgacGwk6x3ChOKFY="));
        assert!(expected.agrees(&encode(&whole)));
        assert!(!expected.agrees(&encode(&sums[0])));
        assert!(!Expected::whole(&whole).agrees(expected.composite.as_deref().unwrap()));
    }
}
