//! Stores: where copies of sets lie, how they are reached, and what is told about an object there.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{retention::Keep, secret::SecretSource};

/// One store, named in `maint.toml`.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// Its name in `maint.toml`.
    pub name: String,
    /// Where it is.
    pub place: Place,
    /// What every key in it begins with; empty, or without slashes at its ends.
    pub prefix: String,
    /// The age recipients whom a copy there is encrypted to; none: it is not encrypted.
    pub encrypt_to: Vec<String>,
    /// Which copies are kept there; `None`: all.
    pub keep: Option<Keep>,
}

/// All stores by name.
pub type Stores = BTreeMap<String, StoreConfig>;

/// Where a store is.
#[derive(Debug, Clone)]
pub enum Place {
    /// Another directory or mount of this host.
    Local {
        /// The directory; it must be there already, for an empty mount point is no store.
        dir: PathBuf,
        /// Whether something must be mounted there.
        mounted: bool,
    },
    /// A bucket.
    S3(Box<S3Settings>),
}

/// A bucket of Amazon S3, or of a server that speaks the same.
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// Its region; `None`: that of the environment or profile.
    pub region: Option<String>,
    /// The server; `None`: Amazon's of the region.
    pub endpoint: Option<String>,
    /// Whether the bucket stands in the path instead of the host name.
    pub path_style: bool,
    /// The certificate authority of the endpoint; `None`: the host's own.
    pub ca_file: Option<PathBuf>,
    /// Who maint is there; `None`: what the environment, the profile or the instance's role says.
    pub keys: Option<S3Keys>,
    /// The profile of the shared AWS files that is asked where there are no `keys`.
    pub profile: Option<String>,
    /// What keeps objects from being deleted.
    pub object_lock: Option<ObjectLock>,
    /// The storage class; `None`: the bucket's default.
    pub storage_class: Option<String>,
    /// Encryption by the server.
    pub encryption: Option<ServerEncryption>,
    /// How many parts are sent at once.
    pub parts_in_flight: u8,
    /// How long the server may be silent in the middle of a request.
    pub answer_within: Duration,
    /// How long a request that fails for a reason that may pass is tried again.
    pub retry_for: Duration,
}

/// Static keys of a bucket.
#[derive(Debug, Clone)]
pub struct S3Keys {
    /// The access key's id; no secret by itself.
    pub access_key: String,
    /// The secret half.
    pub secret_key: SecretSource,
}

/// S3 Object Lock: how long a version cannot be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectLock {
    /// Who may lift it.
    pub mode: LockMode,
    /// For how many days from the upload on.
    pub days: u16,
}

/// Who may lift an Object Lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LockMode {
    /// Whoever has a special permission.
    Governance,
    /// Nobody.
    Compliance,
}

/// Encryption by the server, with keys of the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEncryption {
    /// `AES256`.
    Aes256,
    /// `aws:kms`, with the key's id or that of the bucket's default.
    Kms(Option<String>),
}

/// What became of something that was to be put into a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Whether it was sent now; `false`: the same content stood there already.
    pub new: bool,
    /// The version that the store gave it, where it keeps versions.
    pub version: Option<String>,
    /// How it is known that the content in the store is the right one.
    pub proof: Proof,
    /// Until when the store keeps it against deletion, where it does.
    pub kept_until: Option<DateTime<Utc>>,
}

/// How it is known that a store has the right content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The store's own SHA-256 of it, or of its parts, was compared.
    Checksum,
    /// It was read back whole and compared.
    ReadBack,
}

/// One object of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Its key, without the store's prefix.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// When the store says that it was written.
    pub modified: DateTime<Utc>,
}

/// What became of something that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is not there any more, or never was.
    Gone,
    /// The store keeps it until then.
    KeptUntil(DateTime<Utc>),
}

/// What a store does with a key that is written a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overwrites {
    /// The store itself refuses to write a key twice (`If-None-Match: *`).
    Refused,
    /// It does not: only maint looks before it writes.
    Accepted,
}

/// Why a text cannot be a key or a prefix; `None`: it can.
pub fn key_problem(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("it is empty");
    }
    if key.len() > 900 {
        return Some("it is longer than 900 bytes");
    }
    if key.chars().any(|c| c.is_control() || c == '\\') {
        return Some("it has a control character or a backslash");
    }
    if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Some("a part between slashes is empty, `.` or `..`");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_below_their_prefix() {
        for key in ["leanvibe/monthly/202608/db-202608.sql.zst", ".records/x", "a", "ä/ö ü"] {
            assert_eq!(key_problem(key), None, "{key}");
        }
        for key in ["", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\nb", "a\\b", &"x".repeat(901)] {
            assert!(key_problem(key).is_some(), "{key}");
        }
    }
}
