//! Names and identifiers, each validated once where it enters.

use std::{fmt, str::FromStr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A name that was refused, with what a name may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} `{given}` is not a name: use lower-case letters, digits, `-` and `_`, starting with a letter or digit, at most 64 characters"
)]
pub struct NameError {
    what: &'static str,
    given: String,
}

fn is_name(text: &str) -> bool {
    let first = text.bytes().next();
    text.len() <= 64
        && first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String")]
        pub struct $type(String);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(NameError { what: $what, given: text.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A job: the stem of its file in `jobs/`.
    JobName,
    "job"
);
name!(
    /// A step of a job; artifact names start with it.
    StepId,
    "step id"
);
name!(
    /// A row of sets, owned by exactly one job; a directory below `backups/`.
    SeriesName,
    "series"
);

/// In a file name everything but these is percent-encoded.
const FILE_NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-').remove(b'.');

/// A database's name as part of a file name.
pub fn in_file_name(name: &str) -> String {
    utf8_percent_encode(name, FILE_NAME).to_string()
}

/// One execution of a job (UUIDv7: sorts by start).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(with = "String")]
pub struct RunId(pub uuid::Uuid);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_paths() {
        for good in ["monthly-backup", "db", "0a", "a_b"] {
            assert!(good.parse::<JobName>().is_ok(), "{good}");
        }
        for bad in ["", "-x", ".x", "a/b", "..", "A", "ä", "a b", &"a".repeat(65)] {
            assert!(bad.parse::<JobName>().is_err(), "{bad}");
        }
    }
}
