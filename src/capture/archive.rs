//! Skeleton: owned by its author.

use crate::{
    model::failure::{Class, Diagnose},
    stream::StreamError,
};

/// Why it failed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl Diagnose for ArchiveError {
    fn class(&self) -> Class {
        match self {
            Self::Stream(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Stream(e) => e.hint(),
        }
    }
}
