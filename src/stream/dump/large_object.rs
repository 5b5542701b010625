//! A large object's data: `lo_open`, any number of `lowrite`, `lo_close`.

use xxhash_rust::xxh3::Xxh3;

use crate::model::contents::LargeObjectLine;

/// A large object between `lo_open` and `lo_close`.
pub(super) struct OpenObject {
    oid: u32,
    length: u64,
    digest: Box<Xxh3>,
    decoded: Vec<u8>,
}

impl OpenObject {
    pub(super) fn new(oid: u32) -> Self {
        Self { oid, length: 0, digest: Box::new(Xxh3::new()), decoded: Vec::new() }
    }

    pub(super) fn oid(&self) -> u32 {
        self.oid
    }

    /// Adds a piece, given as hex digits; `false` when they are not.
    pub(super) fn write(&mut self, hex: &[u8]) -> bool {
        let (pairs, rest) = hex.as_chunks::<2>();
        self.decoded.clear();
        self.decoded.reserve(pairs.len());
        let mut seen = 0;
        for [high, low] in pairs {
            let (high, low) = (DIGITS[usize::from(*high)], DIGITS[usize::from(*low)]);
            seen |= high | low;
            self.decoded.push(high << 4 | low & 15);
        }
        self.length += self.decoded.len() as u64;
        self.digest.update(&self.decoded);
        seen & NO_DIGIT == 0 && rest.is_empty()
    }

    pub(super) fn finish(self) -> LargeObjectLine {
        LargeObjectLine { oid: self.oid, length: self.length, digest: self.digest.digest128() }
    }
}

const NO_DIGIT: u8 = 0x80;

/// Each byte's value as a hex digit, or [`NO_DIGIT`].
const DIGITS: [u8; 256] = {
    let mut table = [NO_DIGIT; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit as usize] as usize] = digit;
        table[b"0123456789ABCDEF"[digit as usize] as usize] = digit;
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_add_up() {
        let mut object = OpenObject::new(7);
        assert!(object.write(b"00ff") && object.write(b"") && object.write(b"aB"));
        let line = object.finish();
        assert_eq!((line.oid, line.length), (7, 3));
        assert_eq!(line.digest, xxhash_rust::xxh3::xxh3_128(&[0, 0xff, 0xab]));
    }

    #[test]
    fn what_is_not_hex_is_refused() {
        for bad in [&b"0"[..], b"0g", b"0\x80", b"\\x"] {
            assert!(!OpenObject::new(1).write(bad), "{bad:?}");
        }
    }
}
