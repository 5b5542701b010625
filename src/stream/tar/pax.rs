//! Pax records: `<length> <key>=<value>\n`, the length counting itself (POSIX pax(1), "pax Extended Header").

use std::io::Write;

const BILLION: i128 = 1_000_000_000;

/// Adds one record.
pub(super) fn put(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while body + length.ilog10() as usize + 1 != length {
        length = body + length.ilog10() as usize + 1;
    }
    put_number(out, length as u64);
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}

/// Adds a number in decimal.
pub(super) fn put_number(out: &mut Vec<u8>, number: u64) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "{number}");
}

/// One record after the other; `None` in an item's place: not a record.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let record = self.record();
        if record.is_none() {
            self.0 = &[];
        }
        Some(record)
    }
}

impl<'a> Records<'a> {
    fn record(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        let blank = self.0.iter().take(20).position(|b| *b == b' ')?;
        let length = usize::try_from(decimal(&self.0[..blank])?).ok()?;
        let record = self.0.get(..length)?.strip_suffix(b"\n")?.get(blank + 1..)?;
        self.0 = &self.0[length..];
        let equals = record.iter().position(|b| *b == b'=')?;
        Some((&record[..equals], &record[equals + 1..]))
    }
}

/// A number in decimal digits, nothing else.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |value, digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Nanoseconds as decimal seconds, without needless digits: `-1.5`.
pub(super) fn seconds(ns: i128) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    let whole = ns.unsigned_abs() / BILLION.unsigned_abs();
    let fraction = ns.unsigned_abs() % BILLION.unsigned_abs();
    if fraction == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{fraction:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// The inverse of [`seconds`]; digits beyond nanoseconds are cut, towards the past.
pub(super) fn nanoseconds(text: &[u8]) -> Option<i128> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |b| *b == b'.');
    let whole = i128::from(decimal(parts.next()?)?).checked_mul(BILLION)?;
    let digits = parts.next().unwrap_or_default();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut fraction = 0;
    for place in 0..9 {
        fraction = fraction * 10 + i128::from(digits.get(place).map_or(0, |digit| digit - b'0'));
    }
    let lost = digits.iter().skip(9).any(|digit| *digit != b'0');
    let ns = whole + fraction;
    Some(if negative { -ns - i128::from(lost) } else { ns })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn records_survive(value in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let mut out = Vec::new();
            put(&mut out, b"key", &value);
            put(&mut out, b"path", b"b");
            let records: Vec<_> = Records(&out).map(Option::unwrap).collect();
            prop_assert_eq!(records, vec![(&b"key"[..], &value[..]), (&b"path"[..], &b"b"[..])]);
        }

        #[test]
        fn times_survive(ns in -(1i128 << 80)..(1i128 << 80)) {
            prop_assume!(ns.abs() < i128::from(u64::MAX) * BILLION);
            prop_assert_eq!(nanoseconds(seconds(ns).as_bytes()), Some(ns));
        }
    }

    #[test]
    fn a_record_that_is_none_ends_the_list() {
        for bad in ["x", "5 a=b\n", "6 a=bc", "4 ab\n", "99999999999999999999999 a=b\n", "0 a=b\n", "1 a=b\n"] {
            assert_eq!(Records(bad.as_bytes()).collect::<Vec<_>>(), [None], "{bad:?}");
        }
        assert_eq!(seconds(-500_000_000), "-0.5");
        assert_eq!(nanoseconds(b"1."), Some(BILLION));
        assert_eq!(nanoseconds(b"abc"), None);
    }
}
