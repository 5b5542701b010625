//! What is learned of a set after it was published: a signed file beside the sets, never inside one.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    ids::{JobName, SeriesName},
    manifest::{HostFacts, Level, Manifest, Previous, Verification},
    signature::Signature,
};

/// What `format` of a record says.
pub const RECORD_FORMAT: &str = "maint-record";
/// The format's version; a reader refuses a higher one.
pub const RECORD_VERSION: u32 = 1;

/// One thing that was learned of a set, or done with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Always `maint-record`.
    pub format: String,
    /// The format's version.
    pub version: u32,
    /// The set's series.
    pub series: SeriesName,
    /// The set's name in it, e.g. `202608-2`.
    pub set: String,
    /// SHA-256 of the set's manifest, so that the record speaks of this set and no other.
    pub manifest_sha256: String,
    /// Where it was learned.
    pub host: HostFacts,
    /// When.
    pub made: DateTime<Utc>,
    /// What.
    pub body: Body,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// The set was restored and compared, and is as it was captured.
    Drill(Verification),
    /// The set is kept whatever retention says.
    Pin {
        /// Why.
        reason: String,
    },
    /// It is no longer.
    Unpin,
    /// Somebody looked at what was odd about the set.
    Ack {
        /// What it was, in his words.
        reason: String,
        /// What was odd.
        anomalies: Vec<String>,
    },
    /// The set was removed on purpose. Keeps the chain walkable.
    Tombstone(Tombstone),
    /// The set was copied to a store.
    Copy(Copied),
}

impl Body {
    /// Its kind, with which the record's file name begins.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Drill(_) => "drill",
            Self::Pin { .. } => "pin",
            Self::Unpin => "unpin",
            Self::Ack { .. } => "ack",
            Self::Tombstone(_) => "tombstone",
            Self::Copy(_) => "copy",
        }
    }
}

/// What is left of a set that was removed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Tombstone {
    /// Why it was removed.
    pub reason: String,
    /// What its manifest named as the set before it.
    pub previous: Option<Previous>,
    /// The job that made it.
    pub job: JobName,
    /// The scheduled instant it stood for.
    pub slot: Option<DateTime<Utc>>,
    /// The period it stood for.
    pub period: String,
    /// When its run started.
    pub started: DateTime<Utc>,
    /// When it was sealed.
    pub sealed: DateTime<Utc>,
    /// The level to which it was verified before it was published.
    pub level: Level,
    /// All files of its manifest together.
    pub bytes: u64,
}

impl Tombstone {
    /// The tombstone of a set.
    pub fn of(manifest: &Manifest, reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            previous: manifest.previous.clone(),
            job: manifest.job.clone(),
            slot: manifest.run.slot,
            period: manifest.period.clone(),
            started: manifest.run.started,
            sealed: manifest.run.sealed,
            level: manifest.verification.level,
            bytes: manifest.files.iter().map(|f| f.bytes).sum(),
        }
    }
}

/// A copy of a set in a store, read back and equal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Copied {
    /// The store's name.
    pub store: String,
    /// Where in it, without the store's own prefix.
    pub key: String,
    /// The age recipients that can open it; none where it lies there as it is.
    #[serde(default)]
    pub encrypted_to: Vec<String>,
    /// What lies there, in all.
    pub bytes: u64,
    /// SHA-256 of the copy's `copy.json`, which has the digest of everything that lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list_sha256: Option<String>,
}

/// A record as it was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signed {
    /// Its file.
    pub file: String,
    /// What it says.
    pub record: Record,
    /// Who says so.
    pub signature: Signature,
}

/// Why a set is pinned, where it is: the newest of its pins and unpins says. One that cannot be believed never lets a set
/// go, so that a pin by an unknown key holds, and an unpin by one does nothing. `records` stand oldest first.
pub fn pinned(records: &[Signed]) -> Option<&str> {
    records.iter().fold(None, |held, signed| match &signed.record.body {
        Body::Pin { reason } => Some(reason.as_str()),
        Body::Unpin if signed.signature.is_believed() => None,
        _ => held,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(body: Body, signature: Signature) -> Signed {
        let record = Record {
            format: RECORD_FORMAT.into(),
            version: RECORD_VERSION,
            series: "monthly".parse().unwrap(),
            set: "202608".into(),
            manifest_sha256: "00".into(),
            host: HostFacts { name: "h".into(), maint: "0".into() },
            made: DateTime::UNIX_EPOCH,
            body,
        };
        Signed { file: "x.json".into(), record, signature }
    }

    #[test]
    fn a_record_says_its_kind_beside_what_it_says() {
        let text = serde_json::to_string(&signed(Body::Pin { reason: "why".into() }, Signature::Unsigned).record);
        assert!(text.unwrap().contains(r#""body":{"kind":"pin","reason":"why"}"#));
        let unpin: Body = serde_json::from_str(r#"{"kind":"unpin"}"#).unwrap();
        assert_eq!(unpin, Body::Unpin);
    }

    #[test]
    fn only_a_believed_unpin_lets_a_set_go() {
        let pin = || signed(Body::Pin { reason: "why".into() }, Signature::Missing);
        let bad = Signature::Bad { problem: "x".into() };
        assert_eq!(pinned(&[]), None);
        assert_eq!(pinned(&[pin()]), Some("why"));
        assert_eq!(pinned(&[pin(), signed(Body::Unpin, bad)]), Some("why"));
        assert_eq!(pinned(&[pin(), signed(Body::Unpin, Signature::Unsigned)]), None);
        assert_eq!(pinned(&[signed(Body::Unpin, Signature::Unsigned), pin()]), Some("why"));
    }
}
