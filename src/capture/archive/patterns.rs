//! Glob patterns over names in an archive.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A set of glob patterns. A pattern without a slash is compared with the last part of a name, at any depth; one with a
/// slash with the whole name in the archive. `*` and `?` do not match a slash, `**` does.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    last_parts: GlobSet,
    whole_names: GlobSet,
}

/// A pattern that was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is not a pattern: {reason}")]
pub struct PatternError {
    pattern: String,
    reason: String,
}

impl Patterns {
    /// Understands patterns.
    ///
    /// # Errors
    /// When one of them is not a glob pattern.
    pub fn new(patterns: &[String]) -> Result<Self, PatternError> {
        let (mut last_parts, mut whole_names) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern.trim_end_matches('/')).literal_separator(true).build();
            let glob = glob.map_err(|e| PatternError { pattern: pattern.clone(), reason: e.kind().to_string() })?;
            let set = if pattern.trim_end_matches('/').contains('/') { &mut whole_names } else { &mut last_parts };
            set.add(glob);
        }
        let build = |set: GlobSetBuilder| {
            set.build().map_err(|e| PatternError { pattern: patterns.join("`, `"), reason: e.kind().to_string() })
        };
        Ok(Self { last_parts: build(last_parts)?, whole_names: build(whole_names)? })
    }

    /// Whether one of the patterns matches a name in the archive.
    pub fn matches(&self, name: &[u8]) -> bool {
        if self.last_parts.is_empty() && self.whole_names.is_empty() {
            return false;
        }
        let last = name.rsplit(|b| *b == b'/').next().unwrap_or(name);
        self.last_parts.is_match(Path::new(OsStr::from_bytes(last)))
            || self.whole_names.is_match(Path::new(OsStr::from_bytes(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        Patterns::new(&[pattern.to_owned()]).unwrap().matches(name.as_bytes())
    }

    #[test]
    fn patterns_with_and_without_a_slash() {
        assert!(matches("*.log", "a/b/c.log"));
        assert!(matches("cache/", "a/cache"));
        assert!(!matches("cache", "a/cache2"));
        assert!(matches("a/*.log", "a/c.log"));
        assert!(!matches("a/*.log", "a/b/c.log"));
        assert!(matches("a/**/*.log", "a/b/c/d.log"));
        assert!(!Patterns::default().matches(b"a"));
        assert!(Patterns::new(&["a{b".to_owned()]).unwrap_err().to_string().contains("`a{b`"));
    }
}
