//! What is known of who signed something.

use std::fmt;

use serde::Serialize;

/// What a detached signature's file name ends with, behind the name of what it signs; as `ssh-keygen -Y sign` makes it.
pub const SIGNATURE_SUFFIX: &str = ".sig";

/// What a signature is for, so that one made for a record never passes for a set's (`ssh-keygen -Y … -n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Namespace {
    /// A set's manifest.
    Set,
    /// A record beside a set.
    Record,
    /// An audit's report.
    Audit,
}

impl Namespace {
    /// The name in the signature.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Set => "maint-set",
            Self::Record => "maint-record",
            Self::Audit => "maint-audit",
        }
    }
}

/// Whether somebody who is trusted says that something is as he made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Signature {
    /// Signed by a key of the trust anchor.
    Good {
        /// Whose key it is, in the trust anchor's words.
        signer: String,
        /// The key's fingerprint.
        key: String,
    },
    /// Not signed, and nothing says that it should be.
    Unsigned,
    /// Whole, but no trust anchor says whose key it is: anybody could have signed it.
    NotChecked {
        /// The key's fingerprint.
        key: String,
    },
    /// Not signed, though there is a trust anchor.
    Missing,
    /// Signed by a key that may not.
    Untrusted {
        /// The key's fingerprint.
        key: String,
        /// Why it may not.
        problem: String,
    },
    /// Not a signature of what it should sign.
    Bad {
        /// What is wrong with it.
        problem: String,
    },
    /// It could not be read: nothing is known about it.
    Unreadable {
        /// Why.
        problem: String,
    },
}

impl Signature {
    /// What is wrong with it, where something is.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Good { .. } | Self::Unsigned | Self::NotChecked { .. } => None,
            Self::Missing => Some("is not signed".into()),
            Self::Untrusted { key, problem } => Some(format!("is signed by {key}, which {problem}")),
            Self::Bad { problem } | Self::Unreadable { problem } => Some(problem.clone()),
        }
    }

    /// Whether what it signs may be acted upon: by a trusted key, or nobody asked for that.
    pub fn is_believed(&self) -> bool {
        self.problem().is_none()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Good { signer, key } => write!(f, "signed by {signer} ({key})"),
            Self::Unsigned => f.write_str("not signed: who made it cannot be checked"),
            Self::NotChecked { key } => {
                write!(f, "signed by {key}; whose key that is was not checked, for no trust anchor is configured")
            }
            Self::Missing | Self::Untrusted { .. } | Self::Bad { .. } | Self::Unreadable { .. } => {
                f.write_str(&self.problem().unwrap_or_default())
            }
        }
    }
}
