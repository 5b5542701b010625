//! Bytes in motion, in bounded memory whatever the size.
//!
//! Writing: [`artifact`] packs a plain stream into frames ([`frames`]), hashes what it writes and keeps the contents
//! list ([`contents`]). Reading: [`decode`] gives the plain stream back frame by frame. [`dump`] and [`tar`] know the
//! two plain formats.

pub mod artifact;
pub mod contents;
pub mod decode;
pub mod dump;
pub mod encrypt;
pub mod frames;
pub mod hash;
pub mod tar;

use std::{io, path::PathBuf};

use crate::{
    adapters::{files::FileError, process::ProcessEnd},
    model::failure::{Class, Diagnose},
};

/// A stream that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("packing {name}")]
    Pack { name: String, source: io::Error },
    #[error("{name} is not whole: its source {end}")]
    SourceFailed { name: String, end: ProcessEnd },
    #[error("{}: {problem}", path.display())]
    Damaged { path: PathBuf, problem: String },
    #[error("stopped")]
    Cancelled,
}

impl StreamError {
    /// Content that is not what it should be.
    pub fn damaged(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), problem: problem.into() }
    }
}

impl Diagnose for StreamError {
    fn class(&self) -> Class {
        match self {
            Self::File(e) => e.class(),
            Self::Damaged { .. } => Class::Verification,
            Self::Cancelled => Class::Interrupted,
            Self::Pack { .. } | Self::SourceFailed { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            _ => None,
        }
    }
}
