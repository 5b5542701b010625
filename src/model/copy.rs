//! `copy.json`: what lies in a store of one set, and under which digest.
//!
//! Manifest and signature are the same bytes in every copy, so that there is one chain. The other files lie there as they
//! are, or each encrypted by itself; then their digests there are others than the manifest's, and stand here.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::SeriesName,
    manifest::{FileDigest, HostFacts, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, RESTORE_FILE},
};

/// What `format` says.
pub const COPY_FORMAT: &str = "maint-copy";
/// The format's version; a reader refuses a higher one.
pub const COPY_VERSION: u32 = 1;
/// Its file name in every copy.
pub const COPY_FILE: &str = "copy.json";
/// How to open an encrypted copy, in words; lies in every one.
pub const DECRYPT_FILE: &str = "DECRYPT.md";
/// What an encrypted file's name ends in.
pub const ENCRYPTED_SUFFIX: &str = ".age";

/// A copy of a set in a store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyList {
    /// Always `maint-copy`.
    pub format: String,
    /// The format's version.
    pub version: u32,
    /// The stack that was backed up.
    pub stack: String,
    /// The set's series.
    pub series: SeriesName,
    /// The set's name in it, e.g. `202608-2`.
    pub set: String,
    /// SHA-256 of the set's manifest, so that the list speaks of this set and no other.
    pub manifest_sha256: String,
    /// The store that it was made for.
    pub store: String,
    /// The age recipients who can open it; none: it is not encrypted.
    #[serde(default)]
    pub encrypted_to: Vec<String>,
    /// Where it was made.
    pub host: HostFacts,
    /// When.
    pub made: DateTime<Utc>,
    /// Every file of the set but manifest and signature, and where it lies.
    pub files: Vec<CopiedFile>,
    /// What the copy has of its own, beyond this list, its checksum list, manifest and signature.
    #[serde(default)]
    pub own: Vec<FileDigest>,
}

/// One file of the set in a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopiedFile {
    /// The file of the set.
    #[serde(flatten)]
    pub plain: FileDigest,
    /// The ciphertext that lies there for it; absent: it lies there as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<FileDigest>,
}

impl CopiedFile {
    /// What lies in the store for it.
    pub fn stored(&self) -> &FileDigest {
        self.encrypted.as_ref().unwrap_or(&self.plain)
    }
}

impl CopyList {
    /// Everything whose digest the list knows, as it lies there.
    pub fn stored(&self) -> impl Iterator<Item = &FileDigest> {
        self.files.iter().map(CopiedFile::stored).chain(&self.own)
    }

    /// What is wrong with the names in it, where something is: none may leave the copy's directory, or hide another.
    pub fn names_problem(&self) -> Option<String> {
        let mut seen = std::collections::BTreeSet::from([MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, COPY_FILE]);
        for file in self.files.iter().map(|f| &f.plain).chain(self.stored()) {
            if !is_plain_name(&file.file) {
                return Some(format!("names a file outside the copy: `{}`", file.file));
            }
        }
        let twice = self.stored().find(|f| !seen.insert(&f.file));
        twice.map(|file| format!("names {} twice", file.file))
    }
}

/// Whether a text can be the name of a file in a set or copy.
pub fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n', '\\'])
}

/// Whether a file of a set lies in an encrypted copy as it is: those that say what the set is and how to restore it, and
/// nothing that the manifest does not say.
pub fn stays_plain(file: &str) -> bool {
    file == RESTORE_FILE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[(&str, Option<&str>)]) -> CopyList {
        let digest = |file: &str| FileDigest { file: file.into(), bytes: 1, sha256: "00".into() };
        CopyList {
            format: COPY_FORMAT.into(),
            version: COPY_VERSION,
            stack: "s".into(),
            series: "monthly".parse().unwrap(),
            set: "202608".into(),
            manifest_sha256: "00".into(),
            store: "offsite".into(),
            encrypted_to: Vec::new(),
            host: HostFacts { name: "h".into(), maint: "0".into() },
            made: DateTime::UNIX_EPOCH,
            files: names
                .iter()
                .map(|(plain, encrypted)| CopiedFile { plain: digest(plain), encrypted: encrypted.map(digest) })
                .collect(),
            own: Vec::new(),
        }
    }

    #[test]
    fn no_name_leaves_the_copy_or_hides_another() {
        let good = list(&[("a.sql.zst", Some("a.sql.zst.age")), ("RESTORE.md", None)]);
        assert_eq!(good.names_problem(), None);
        let stored: Vec<_> = good.stored().map(|f| f.file.as_str()).collect();
        assert_eq!(stored, ["a.sql.zst.age", "RESTORE.md"]);
        for bad in ["../a", "/etc/passwd", "", ".hidden", "a\nb"] {
            assert!(list(&[(bad, None)]).names_problem().is_some(), "{bad}");
            assert!(list(&[(bad, Some("a.age"))]).names_problem().is_some(), "{bad}");
            assert!(list(&[("a", Some(bad))]).names_problem().is_some(), "{bad}");
        }
        assert!(list(&[("a", Some("manifest.json"))]).names_problem().is_some_and(|p| p.contains("twice")));
        assert!(list(&[("a", Some("b")), ("b", None)]).names_problem().is_some_and(|p| p.contains("twice")));
    }
}
