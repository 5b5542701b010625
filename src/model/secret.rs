//! A value that must not be shown.

use std::{fmt, path::PathBuf};

/// Text that never reaches argv, a log, an error, the ledger or a child's environment: no Display, a redacting Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Every caller is a place to look at in a review.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret comes from; read when it is used, not when the configuration is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file; one trailing newline is not part of it.
    File(PathBuf),
    /// A variable of maint's own environment.
    Env(String),
    /// A systemd credential: a file below `$CREDENTIALS_DIRECTORY`.
    Credential(String),
    /// Written in the configuration itself; `maint check` warns.
    Inline(Secret),
}
