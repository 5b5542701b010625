//! Mistakes in configuration files, as people and editors read them.

use std::{fmt, path::PathBuf};

use crate::model::failure::{Class, Diagnose};

/// One mistake, at its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The file.
    pub file: PathBuf,
    /// Line and column, from 1; absent for what is about the whole file.
    pub place: Option<(usize, usize)>,
    /// The source line at that place.
    pub line: Option<String>,
    /// What is wrong and what was expected.
    pub message: String,
    /// The nearest right name, or the next step.
    pub help: Option<String>,
    /// Whether it is only worth a look: the configuration is valid.
    pub warning: bool,
}

/// Every mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one that is not a warning.
    pub mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for mistake in &self.mistakes {
            writeln!(f, "{mistake:?}")?;
        }
        Ok(())
    }
}

impl Diagnose for ConfigError {
    fn class(&self) -> Class {
        Class::Usage
    }
}
