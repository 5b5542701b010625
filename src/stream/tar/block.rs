//! One header block of 512 bytes: where its fields are and how numbers stand in them (POSIX pax(1), tar(5)).

use std::ops::Range;

use super::BLOCK;

pub(super) const NAME: Range<usize> = 0..100;
pub(super) const MODE: Range<usize> = 100..108;
pub(super) const UID: Range<usize> = 108..116;
pub(super) const GID: Range<usize> = 116..124;
pub(super) const SIZE: Range<usize> = 124..136;
pub(super) const MTIME: Range<usize> = 136..148;
pub(super) const CHECKSUM: Range<usize> = 148..156;
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Range<usize> = 157..257;
pub(super) const MAGIC: Range<usize> = 257..265;
pub(super) const MAJOR: Range<usize> = 329..337;
pub(super) const MINOR: Range<usize> = 337..345;
pub(super) const PREFIX: Range<usize> = 345..500;

/// A header block.
pub(super) type Block = [u8; BLOCK];

/// Writes a number in octal with leading zeros and a closing NUL; `false` when it does not fit.
pub(super) fn put_octal(field: &mut [u8], value: u64) -> bool {
    let Some((last, digits)) = field.split_last_mut() else { return false };
    *last = 0;
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(rest & 7).unwrap_or(0);
        rest >>= 3;
    }
    if rest != 0 {
        digits.fill(b'7');
    }
    rest == 0
}

/// The sum of all bytes with the checksum field taken as blanks.
pub(super) fn checksum(block: &Block) -> u64 {
    let sum: u64 = block.iter().map(|b| u64::from(*b)).sum();
    let own: u64 = block[CHECKSUM].iter().map(|b| u64::from(*b)).sum();
    sum - own + 8 * u64::from(b' ')
}

/// Writes the checksum in its odd form: six digits, NUL, blank.
pub(super) fn seal(block: &mut Block) {
    let sum = checksum(block);
    put_octal(&mut block[148..155], sum);
    block[155] = b' ';
}

/// A number as any tar writes it: octal with blanks or NULs around, or GNU's base 256. `None`: neither, or too large.
pub(super) fn number(field: &[u8]) -> Option<i128> {
    let first = *field.first()?;
    if first & 0x80 != 0 {
        // Base 256: two's complement over the rest of the field, the sign in the second highest bit.
        let start = if first & 0x40 == 0 { i128::from(first & 0x3f) } else { i128::from(first & 0x3f) - 0x40 };
        return field[1..].iter().try_fold(start, |value, byte| value.checked_mul(256)?.checked_add(i128::from(*byte)));
    }
    let text = text(field).trim_ascii();
    text.iter().try_fold(0i128, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(i128::from(digit - b'0')),
        _ => None,
    })
}

/// A field's bytes up to its first NUL.
pub(super) fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_tar() {
        assert_eq!(number(b"0000644\0"), Some(0o644));
        assert_eq!(number(b"   644 \0"), Some(0o644));
        assert_eq!(number(b"\0\0\0\0\0\0\0\0"), Some(0));
        assert_eq!(number(b"\x80\0\0\0\0\x20\0\0"), Some(1 << 21));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Some(-2));
        assert_eq!(number(b"0000689\0"), None);
    }

    #[test]
    fn what_does_not_fit_says_so() {
        let mut field = [1; 8];
        assert!(put_octal(&mut field, 0o7_777_777));
        assert_eq!(&field, b"7777777\0");
        assert!(!put_octal(&mut field, 1 << 21));
    }
}
