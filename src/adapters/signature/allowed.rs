//! The lines of an `allowed_signers` file (ssh-keygen(1), ALLOWED SIGNERS).

use chrono::{DateTime, Local, NaiveDateTime, TimeZone, Utc};
use ssh_key::{PublicKey, public::KeyData};

/// A key with what it may sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Allowed {
    /// Whose it is.
    pub(super) principals: String,
    /// The key.
    pub(super) key: KeyData,
    namespaces: Option<String>,
    valid_after: Option<DateTime<Utc>>,
    valid_before: Option<DateTime<Utc>>,
}

impl Allowed {
    /// Whether the key may sign for this purpose at this time, or why not.
    pub(super) fn permits(&self, namespace: &str, at: DateTime<Utc>) -> Result<(), String> {
        if self.namespaces.as_ref().is_some_and(|patterns| !in_list(namespace, patterns)) {
            return Err(format!("may not sign for `{namespace}`"));
        }
        if let Some(after) = self.valid_after.filter(|after| at < *after) {
            return Err(format!("is valid only after {}", after.format("%Y-%m-%d %H:%M:%S UTC")));
        }
        if let Some(before) = self.valid_before.filter(|before| at > *before) {
            return Err(format!("was valid only before {}", before.format("%Y-%m-%d %H:%M:%S UTC")));
        }
        Ok(())
    }
}

/// Every line with an ed25519 key; an error has the line's number, from 1.
pub(super) fn parse(text: &str) -> Result<Vec<Allowed>, (usize, String)> {
    let mut allowed = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            allowed.extend(parse_line(line).map_err(|problem| (index + 1, problem))?);
        }
    }
    Ok(allowed)
}

fn parse_line(line: &str) -> Result<Option<Allowed>, String> {
    let (principals, rest) = word(line)?;
    let (second, behind) = word(rest)?;
    if second.is_empty() {
        return Err("has no public key".into());
    }
    let (options, key) = if is_key_kind(&second) { (Options::default(), rest) } else { (options(&second)?, behind) };
    let mut parts = key.split_whitespace();
    let (Some(kind), Some(data)) = (parts.next(), parts.next()) else {
        return Err("has no public key".into());
    };
    if !is_key_kind(kind) {
        return Err(format!("`{kind}` is no kind of key"));
    }
    if kind != "ssh-ed25519" || options.authority {
        return Ok(None);
    }
    let key = PublicKey::from_openssh(&format!("{kind} {data}")).map_err(|e| format!("its key cannot be read: {e}"))?;
    Ok(Some(Allowed {
        principals: principals.replace('"', ""),
        key: key.key_data().clone(),
        namespaces: options.namespaces,
        valid_after: options.valid_after,
        valid_before: options.valid_before,
    }))
}

fn is_key_kind(word: &str) -> bool {
    ["ssh-", "ecdsa-", "sk-"].iter().any(|begin| word.starts_with(begin)) && !word.contains('=')
}

/// The first word, in which blanks between quotes do not count, and what is behind it.
fn word(text: &str) -> Result<(String, &str), String> {
    let text = text.trim_start();
    let mut quoted = false;
    let end = text.find(|c: char| {
        quoted ^= c == '"';
        !quoted && c.is_whitespace()
    });
    match end {
        Some(end) => Ok((text[..end].to_owned(), &text[end..])),
        None if quoted => Err("has a quote without its end".into()),
        None => Ok((text.to_owned(), "")),
    }
}

#[derive(Debug, Default)]
struct Options {
    authority: bool,
    namespaces: Option<String>,
    valid_after: Option<DateTime<Utc>>,
    valid_before: Option<DateTime<Utc>>,
}

/// `cert-authority,namespaces="a,b",valid-after="20260101"`
fn options(text: &str) -> Result<Options, String> {
    let mut options = Options::default();
    let mut quoted = false;
    let separate = |c: char| {
        quoted ^= c == '"';
        !quoted && c == ','
    };
    for option in text.split(separate) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = value.trim_matches('"');
        match name.to_ascii_lowercase().as_str() {
            "cert-authority" => options.authority = true,
            "namespaces" => options.namespaces = Some(value.to_owned()),
            "valid-after" => options.valid_after = Some(instant(value)?),
            "valid-before" => options.valid_before = Some(instant(value)?),
            _ => return Err(format!("`{name}` is neither a kind of key nor an option that maint knows")),
        }
    }
    Ok(options)
}

/// `YYYYMMDD`, `YYYYMMDDHHMM` or `YYYYMMDDHHMMSS`; with a Z in UTC, without one in the host's zone, as ssh-keygen reads it.
fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    let wrong = || format!("`{text}` is not a time; expected YYYYMMDD[HHMM[SS]][Z]");
    let (digits, utc) = match text.strip_suffix(['Z', 'z']) {
        Some(digits) => (digits, true),
        None => (text, false),
    };
    let padding = match digits.len() {
        8 => "000000",
        12 => "00",
        14 => "",
        _ => return Err(wrong()),
    };
    let naive = NaiveDateTime::parse_from_str(&format!("{digits}{padding}"), "%Y%m%d%H%M%S").map_err(|_| wrong())?;
    if utc {
        return Ok(naive.and_utc());
    }
    Local.from_local_datetime(&naive).earliest().map(|local| local.with_timezone(&Utc)).ok_or_else(wrong)
}

/// OpenSSH's pattern list: some pattern matches, and none behind a `!` does.
fn in_list(text: &str, patterns: &str) -> bool {
    let mut matched = false;
    for pattern in patterns.split(',') {
        match pattern.strip_prefix('!') {
            Some(negated) if is_like(text.as_bytes(), negated.as_bytes()) => return false,
            Some(_) => {}
            None => matched |= is_like(text.as_bytes(), pattern.as_bytes()),
        }
    }
    matched
}

/// `*` stands for any characters, `?` for one.
fn is_like(text: &[u8], pattern: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|skip| is_like(&text[skip..], rest)),
        Some((wanted, rest)) => text
            .split_first()
            .is_some_and(|(first, others)| (*wanted == b'?' || wanted == first) && is_like(others, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn lines_are_read_as_ssh_keygen_reads_them() {
        let text = format!(
            "# a comment\n\n\
             ops@host {KEY} some comment\n\
             \"ops team\",a@b namespaces=\"maint-*,!maint-record\",valid-after=\"20260101Z\",valid-before=\"20270101120000Z\" {KEY}\n\
             ca@host cert-authority {KEY}\n\
             old@host ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDCkl\n"
        );
        let allowed = parse(&text).unwrap();
        let names: Vec<_> = allowed.iter().map(|a| a.principals.as_str()).collect();
        assert_eq!(names, ["ops@host", "ops team,a@b"]);
        assert_eq!(allowed[0].permits("anything", at("1999-01-01T00:00:00Z")), Ok(()));
        let narrow = &allowed[1];
        assert_eq!(narrow.permits("maint-set", at("2026-06-01T00:00:00Z")), Ok(()));
        assert!(narrow.permits("maint-record", at("2026-06-01T00:00:00Z")).unwrap_err().contains("may not sign"));
        assert!(narrow.permits("git", at("2026-06-01T00:00:00Z")).is_err());
        assert!(narrow.permits("maint-set", at("2025-12-31T23:59:59Z")).unwrap_err().contains("only after 2026"));
        assert!(narrow.permits("maint-set", at("2027-01-01T12:00:01Z")).unwrap_err().contains("only before 2027"));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for (line, problem) in [
            ("ops@host", "has no public key"),
            ("ops@host ssh-ed25519", "has no public key"),
            (&format!("ops@host touch-required {KEY}"), "`touch-required` is neither"),
            ("ops@host ssh-ed25519 AAAA", "cannot be read"),
            (&format!("ops@host valid-after=\"tomorrow\" {KEY}"), "is not a time"),
            (&format!("\"ops@host {KEY}"), "a quote without its end"),
            ("ops@host namespaces=\"x\" hello world", "`hello` is no kind of key"),
        ] {
            let (number, found) = parse(&format!("# first\n{line}\n")).unwrap_err();
            assert_eq!(number, 2, "{line}");
            assert!(found.contains(problem), "{line}: {found}");
        }
    }
}
