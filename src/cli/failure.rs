//! A command's failure: the chain of causes once, then a hint.

use super::exit::Exit;
use crate::model::failure::{Class, Diagnose, chain};

/// What is printed and how the process exits.
#[derive(Debug)]
pub struct Failure {
    class: Class,
    message: String,
    hint: Option<String>,
}

impl Failure {
    /// A failure without a class of its own.
    pub fn other(message: impl Into<String>) -> Self {
        Self { class: Class::Failed, message: message.into(), hint: None }
    }

    /// A mistake on the command line that clap cannot see.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { class: Class::Usage, message: message.into(), hint: Some(hint.into()) }
    }

    /// A failure with the next thing to do.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { class: Class::Failed, message: message.into(), hint: Some(hint.into()) }
    }

    /// What is wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The next thing to do.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints it to stderr and gives the exit code.
    pub fn print(&self) -> Exit {
        eprintln!("error: {}", self.message);
        if let Some(hint) = &self.hint {
            eprintln!("hint: {hint}");
        }
        self.class.into()
    }
}

impl<E: Diagnose + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { class: error.class(), message: chain(&error), hint: error.hint() }
    }
}
