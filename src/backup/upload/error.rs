//! Why a set was not sent, or not to its end.

use std::path::PathBuf;

use crate::{
    adapters::{files::FileError, lock::LockError, signature::SignError, store::StoreError},
    backup::{copies::CopyError, records::RecordError, verify::WholeError},
    model::{
        failure::{Class, Diagnose},
        units::ByteSize,
    },
    stream::encrypt::EncryptError,
};

/// Why a set was not sent, or not to its end. What lies in the store without a manifest counts as nothing.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("there is no store `{name}`; the configuration has: {}", known.join(", "))]
    NoStore { name: String, known: Vec<String> },
    #[error(transparent)]
    Whole(#[from] WholeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Encrypt(#[from] EncryptError),
    #[error("a ciphertext needs up to {} in {}; {} are free", ByteSize(*needed), dir.display(), ByteSize(*free))]
    Space { dir: PathBuf, needed: u64, free: u64 },
    #[error("the store {store} has another set under the name {set}")]
    Other { store: String, set: String },
    #[error("the copy of {set} in the store {store} is not whole: {}", problems.join("; "))]
    Damaged { store: String, set: String, problems: Vec<String> },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error("the copy was made, but not recorded")]
    Record(#[from] RecordError),
    #[error("a list of files cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    #[error("encrypting ended by itself: {0}")]
    Thread(String),
}

impl Diagnose for UploadError {
    fn class(&self) -> Class {
        match self {
            Self::NoStore { .. } => Class::Usage,
            Self::Whole(e) => e.class(),
            Self::Store(e) => e.class(),
            Self::Copy(e) => e.class(),
            Self::Encrypt(e) => e.class(),
            Self::Other { .. } | Self::Damaged { .. } => Class::Verification,
            Self::Lock(e) => e.class(),
            Self::File(e) => e.class(),
            Self::Sign(e) => e.class(),
            Self::Record(e) => e.class(),
            Self::Space { .. } | Self::Json(_) | Self::Thread(_) => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NoStore { .. } => Some("add [store.NAME] to maint.toml, or correct the name".into()),
            Self::Whole(e) => e.hint(),
            Self::Store(e) => e.hint(),
            Self::Copy(e) => e.hint(),
            Self::Encrypt(e) => e.hint(),
            Self::Space { dir, .. } => {
                Some(format!("free space; one file at a time waits there: df -h {}", dir.display()))
            }
            Self::Other { store, .. } => Some(format!(
                "nothing was replaced. Two hosts with one stack's name, or a set that was made anew: look at both, then give \
                 [store.{store}] another prefix, or remove the copy there yourself"
            )),
            Self::Damaged { .. } => Some(
                "find out who changed it. To send the set again, remove the copy's manifest.json in the store first"
                    .into(),
            ),
            Self::Lock(e) => e.hint(),
            Self::File(e) => e.hint(),
            Self::Sign(e) => e.hint(),
            Self::Record(e) => e.hint(),
            Self::Json(_) | Self::Thread(_) => None,
        }
    }
}
