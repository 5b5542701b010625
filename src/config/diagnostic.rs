//! Mistakes in configuration files, as people and editors read them.

use std::{fmt, path::PathBuf};

use serde::Serialize;

use crate::model::failure::{Class, Diagnose};

/// One mistake, at its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

impl Mistake {
    /// A mistake that is about a whole file or directory.
    pub fn whole(file: impl Into<PathBuf>, message: impl Into<String>) -> Self {
        Self { file: file.into(), place: None, line: None, message: message.into(), help: None, warning: false }
    }

    /// Adds the next step.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match self.place {
            Some((line, column)) => write!(f, "{file}:{line}:{column}: {}", self.message)?,
            None => write!(f, "{file}: {}", self.message)?,
        }
        if let (Some((number, column)), Some(text)) = (self.place, &self.line) {
            let number = number.to_string();
            let gutter = " ".repeat(number.len());
            // The caret stands under its column: what is a tab above is a tab below.
            let lead: String =
                text.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' }).collect();
            write!(f, "\n{gutter} |\n{number} | {text}\n{gutter} | {lead}^")?;
        }
        if let Some(help) = &self.help {
            write!(f, "\n  = {help}")?;
        }
        Ok(())
    }
}

/// Every mistake of a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one that is not a warning.
    pub mistakes: Vec<Mistake>,
}

impl ConfigError {
    /// One mistake alone.
    pub fn one(mistake: Mistake) -> Self {
        Self { mistakes: vec![mistake] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, mistake) in self.mistakes.iter().enumerate() {
            if i > 0 {
                f.write_str("\n\n")?;
            }
            mistake.fmt(f)?;
        }
        Ok(())
    }
}

impl Diagnose for ConfigError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some("every key stands in docs/reference.md; also: maint generate reference".into())
    }
}
