//! What can go wrong with a store, sorted by what an operator, an upload or an audit makes of it.

use std::path::PathBuf;

use crate::{
    adapters::{files::FileError, lock::LockError, secret::SecretError},
    model::{
        failure::{Class, Diagnose},
        parts::TooLong,
        units::ByteSize,
    },
};

/// A request to a store that failed: which store, what, and about which key.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("`{key}` cannot be a key in a store: {problem}")]
    Key { key: String, problem: &'static str },
    #[error("the settings of the store {store}: {problem}")]
    Settings { store: String, problem: String },
    #[error("the secret key of the store {store}")]
    Secret { store: String, source: SecretError },
    #[error("no keys for the store {store} were found: {why}")]
    NoKeys { store: String, why: String },
    #[error("the store {store} has no {key}")]
    NotThere { store: String, key: String },
    #[error("the store {store} has no bucket `{bucket}`")]
    NoBucket { store: String, bucket: String },
    #[error("the store {store} does not allow {operation} {key}: {why}")]
    Denied { store: String, operation: &'static str, key: String, why: String },
    #[error("the store {store} cannot be reached for {operation} {key}: {why}")]
    Unreachable { store: String, operation: &'static str, key: String, why: String },
    #[error("the store {store} refuses {operation} {key}: {why}")]
    Refused { store: String, operation: &'static str, key: String, why: String },
    #[error("{key} in the store {store} has not the content that it should have: {what}")]
    Changed { store: String, key: String, what: String },
    #[error("{} is not the file that was to be sent: {what}", path.display())]
    Source { path: PathBuf, what: String },
    #[error("{key} in the store {store} is longer than the {} that it may have", ByteSize(*limit))]
    Long { store: String, key: String, limit: u64 },
    #[error("{key} cannot be sent to the store {store}")]
    TooLong { store: String, key: String, source: TooLong },
    #[error("the journal of an upload, {}, cannot be read", path.display())]
    Journal { path: PathBuf, source: serde_json::Error },
    #[error("another process is sending {key} to the store {store}")]
    Busy { store: String, key: String, source: LockError },
    #[error("sending or fetching {key} was stopped")]
    Cancelled { key: String },
    #[error(transparent)]
    File(#[from] FileError),
    #[error("a helper thread for {key} ended by itself: {why}")]
    Thread { key: String, why: String },
}

impl StoreError {
    /// Whether it says that the store could not be asked: nothing is known about the key then.
    pub fn could_not_ask(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Denied { .. }
                | Self::NoBucket { .. }
                | Self::NoKeys { .. }
                | Self::Secret { .. }
                | Self::Settings { .. }
        )
    }
}

impl Diagnose for StoreError {
    fn class(&self) -> Class {
        match self {
            Self::Settings { .. } | Self::Secret { .. } => Class::Usage,
            Self::NotThere { .. } | Self::Changed { .. } | Self::Source { .. } => Class::Verification,
            Self::Unreachable { .. } => Class::Retryable,
            Self::Busy { source, .. } => source.class(),
            Self::Cancelled { .. } => Class::Interrupted,
            Self::File(error) => error.class(),
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret { source, .. } => source.hint(),
            Self::NoKeys { store, .. } => Some(format!(
                "give access_key and secret_key_file in [store.{store}], or see what the AWS tools find: aws configure list"
            )),
            Self::NoBucket { bucket, .. } => Some(format!("make the bucket `{bucket}`, or correct it in maint.toml")),
            Self::Denied { operation, .. } => {
                Some(format!("let these keys do it ({operation}); docs/stores.md has the permissions that maint needs"))
            }
            Self::Unreachable { store, .. } => Some(format!(
                "see what [store.{store}] of maint.toml says; an upload goes on where it was: maint doctor"
            )),
            Self::Changed { .. } => Some(
                "nothing was replaced; find out who wrote it before anything else, for it may be somebody's attack"
                    .into(),
            ),
            Self::Source { path, .. } => {
                Some(format!("it changed after it was verified; nothing was sent: maint verify {}", path.display()))
            }
            Self::Journal { path, .. } => Some(format!("remove {}; the upload begins anew", path.display())),
            Self::Busy { .. } => Some("wait for it: maint runs".into()),
            Self::File(error) => error.hint(),
            _ => None,
        }
    }
}
