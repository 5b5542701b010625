//! Which names of an archive may be planted at all.

use super::{RestoreError, error::show};

/// The longest component (NAME_MAX).
const MAX_NAME_BYTES: usize = 255;

fn problem(path: &[u8]) -> Option<&'static str> {
    if path.is_empty() {
        return Some("it is empty");
    }
    if path.contains(&0) {
        return Some("it holds a NUL");
    }
    if path.starts_with(b"/") {
        return Some("it is absolute");
    }
    path.split(|b| *b == b'/').find_map(|part| match part {
        b"" => Some("a part of it is empty"),
        b"." => Some("a part of it is `.`"),
        b".." => Some("it leads up with `..`"),
        part if part.len() > MAX_NAME_BYTES => Some("a part of it is longer than 255 bytes"),
        _ => None,
    })
}

/// Refuses every path that could mean something else than a name below the target. `.` is the target itself.
pub(super) fn check(path: &[u8]) -> Result<(), RestoreError> {
    match problem(path) {
        Some(problem) if path != b"." => Err(RestoreError::RefusedPath { entry: show(path), problem }),
        _ => Ok(()),
    }
}

/// The directory that a path lies in (`.` at the top), and its last part.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b".", path),
    }
}

/// Whether `path` is `dir` or lies in it; everything lies in `.`.
pub(super) fn is_in(path: &[u8], dir: &[u8]) -> bool {
    dir == b"." || path.strip_prefix(dir).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_names_pass() {
        for good in ["a", "a/b", ".", "..a", "a..", "-rf", " ", &"x".repeat(255)] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", "/", "/a", "..", "a/..", "../a", "a//b", "a/", "./a", "a/./b", "a\0b", &"x".repeat(256)] {
            assert!(check(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_path_lies_in_its_directories() {
        assert!(is_in(b"a/b", b"a") && is_in(b"a", b"a") && is_in(b"a", b"."));
        assert!(!is_in(b"ab", b"a") && !is_in(b"a", b"a/b"));
        assert_eq!((split(b"a/b/c"), split(b"c")), ((&b"a/b"[..], &b"c"[..]), (&b"."[..], &b"c"[..])));
    }
}
