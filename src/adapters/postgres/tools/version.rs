//! Versions of the client programs.

use std::cmp::Ordering;

/// What `pg_dump --version` says: `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolVersion {
    major: u32,
    minor: u32,
    /// From the number on, as the program says it.
    pub text: String,
}

/// The first minor version of each major that has `--restrict-key` (the security releases of August 2025,
/// CVE-2025-8714); later majors have it from the start.
const RESTRICT_KEY: &[(u32, u32)] = &[(13, 22), (14, 19), (15, 14), (16, 10), (17, 6)];

impl ToolVersion {
    /// Reads the line that a program prints for `--version`.
    pub fn parse(said: &str) -> Option<Self> {
        let text = said.split_once("(PostgreSQL) ")?.1.trim();
        let number = text.split_whitespace().next()?;
        let mut parts = number.split('.');
        let major = leading_number(parts.next()?)?;
        // A version in development has no minor: `19devel`, `18beta1`.
        let minor = parts.next().and_then(leading_number).unwrap_or(0);
        Some(Self { major, minor, text: text.to_owned() })
    }

    /// Whether a tool of this version may dump a server of that one (`server_version_num`): its major is not older.
    pub fn serves(&self, server_version_num: u32) -> bool {
        self.major >= server_version_num / 10_000
    }

    /// Whether this version's `pg_dump` and `pg_dumpall` have `--restrict-key`.
    pub fn has_restrict_key(&self) -> bool {
        match RESTRICT_KEY.iter().find(|(major, _)| *major == self.major) {
            Some((_, minor)) => self.minor >= *minor,
            None => self.major >= 18,
        }
    }

    /// The major version.
    pub fn major(&self) -> u32 {
        self.major
    }
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

impl PartialOrd for ToolVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ToolVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor).cmp(&(other.major, other.minor)).then_with(|| self.text.cmp(&other.text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> ToolVersion {
        ToolVersion::parse(&format!("pg_dump (PostgreSQL) {text}\n")).unwrap()
    }

    #[test]
    fn versions_are_read_as_distributions_print_them() {
        let debian = version("15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!((debian.major, debian.minor), (15, 18));
        assert_eq!(debian.text, "15.18 (Debian 15.18-0+deb12u1)");
        assert_eq!((version("19devel").major, version("19devel").minor), (19, 0));
        assert_eq!(ToolVersion::parse("pg_dump 15"), None);
    }

    #[test]
    fn an_older_tool_does_not_serve() {
        assert!(version("15.2").serves(150_018));
        assert!(version("16.1").serves(150_018));
        assert!(!version("14.20").serves(150_018));
    }

    #[test]
    fn the_restrict_key_came_with_minors() {
        for (text, has) in [("15.13", false), ("15.14", true), ("17.5", false), ("18.0", true), ("12.22", false)] {
            assert_eq!(version(text).has_restrict_key(), has, "{text}");
        }
    }
}
