//! The names that a log goes through: its own, stamped when it was rotated, hidden while it is replaced.

use chrono::{DateTime, NaiveDateTime, Utc};

const STAMP: &str = "%Y%m%dT%H%M%SZ";
const STAMP_LENGTH: usize = "20260823T043000Z".len();
const HELD: &[u8] = b".maint-held";
const TEMPORARY: &[u8] = b".gz.maint-tmp";
/// What a packed log ends in.
pub(super) const PACKED: &[u8] = b".gz";
/// The longest name of a file (NAME_MAX).
const LONGEST: usize = 255;

/// Where the stamp goes: before the last extension.
fn cut(name: &[u8]) -> usize {
    match name.iter().rposition(|b| *b == b'.') {
        Some(at) if at > 0 => at,
        _ => name.len(),
    }
}

/// `access.log` → `access-20260823T043000Z.log`.
pub(super) fn stamped(name: &[u8], now: DateTime<Utc>) -> Vec<u8> {
    let at = cut(name);
    [&name[..at], b"-", now.format(STAMP).to_string().as_bytes(), &name[at..]].concat()
}

/// `access-20260823T043000Z.log` → `access.log`; `None`: it has no stamp.
pub(super) fn unstamped(name: &[u8]) -> Option<Vec<u8>> {
    let at = cut(name);
    let from = at.checked_sub(STAMP_LENGTH + 1)?;
    let stamp = std::str::from_utf8(&name[from + 1..at]).ok()?;
    let is_one = name[from] == b'-' && from > 0 && NaiveDateTime::parse_from_str(stamp, STAMP).is_ok();
    is_one.then(|| [&name[..from], &name[at..]].concat())
}

/// The name that a log has while its packed copy takes its place.
pub(super) fn hidden(name: &[u8]) -> Vec<u8> {
    [b".", name, HELD].concat()
}

/// The name that a packed copy has until it is complete.
pub(super) fn temporary(name: &[u8]) -> Vec<u8> {
    [b".", name, TEMPORARY].concat()
}

/// The name of the packed copy.
pub(super) fn packed(name: &[u8]) -> Vec<u8> {
    [name, PACKED].concat()
}

/// What a killed maint left.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Leftover {
    /// A log under its hidden name; its own.
    Hidden(Vec<u8>),
    /// A packed copy that was not complete; the log's name.
    Temporary(Vec<u8>),
}

/// What a name says that it is.
pub(super) fn leftover(name: &[u8]) -> Option<Leftover> {
    let rest = name.strip_prefix(b".")?;
    let of = |suffix: &[u8]| rest.strip_suffix(suffix).filter(|own| !own.is_empty()).map(<[u8]>::to_vec);
    of(HELD).map(Leftover::Hidden).or_else(|| of(TEMPORARY).map(Leftover::Temporary))
}

/// Whether every name that it goes through is short enough.
pub(super) fn fits(name: &[u8]) -> bool {
    name.len() + STAMP_LENGTH + TEMPORARY.len() + 2 <= LONGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_and_go() {
        let now: DateTime<Utc> = "2026-08-23T04:30:00Z".parse().unwrap();
        for (name, with) in [
            ("access.log", "access-20260823T043000Z.log"),
            ("a.b.log", "a.b-20260823T043000Z.log"),
            ("plain", "plain-20260823T043000Z"),
        ] {
            assert_eq!(stamped(name.as_bytes(), now), with.as_bytes());
            assert_eq!(unstamped(with.as_bytes()).as_deref(), Some(name.as_bytes()));
            assert_eq!(unstamped(name.as_bytes()), None);
        }
        for odd in ["-20260823T043000Z.log", "a-20269923T043000Z.log", "a_20260823T043000Z.log", "20260823T043000Z"] {
            assert_eq!(unstamped(odd.as_bytes()), None, "{odd}");
        }
    }

    #[test]
    fn leftovers_are_known_by_their_names() {
        assert_eq!(leftover(&hidden(b"a.log")), Some(Leftover::Hidden(b"a.log".to_vec())));
        assert_eq!(leftover(&temporary(b"a.log")), Some(Leftover::Temporary(b"a.log".to_vec())));
        for not in ["a.log", ".a.log", ".maint-held", "a.maint-held", ".a.log.tmp"] {
            assert_eq!(leftover(not.as_bytes()), None, "{not}");
        }
        assert!(fits(&[b'a'; 200]) && !fits(&[b'a'; 240]));
    }
}
