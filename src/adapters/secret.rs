//! Reads secrets from where the configuration says they are, at the moment of use.

use std::{io, path::PathBuf};

use crate::model::{
    failure::{Class, Diagnose},
    secret::{Secret, SecretSource},
};

/// A secret that could not be read. Never carries the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("reading the secret file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the secret's environment variable {0} is not set")]
    Env(String),
    #[error("the systemd credential {0} was asked for, but CREDENTIALS_DIRECTORY is not set")]
    NoCredentials(String),
}

impl Diagnose for SecretError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::File { path, .. } => {
                format!("let the user that runs maint read it: ls -l {}", path.display())
            }
            Self::Env(name) => format!("set {name}, or use password_file"),
            Self::NoCredentials(name) => {
                format!("add LoadCredential={name}:/path to the unit, or use password_file")
            }
        })
    }
}

/// Reads the secret.
///
/// # Errors
/// When the file cannot be read, or the variable or credential directory is not set.
pub fn read(source: &SecretSource) -> Result<Secret, SecretError> {
    match source {
        SecretSource::File(path) => read_file(path.clone()),
        SecretSource::Env(name) => std::env::var(name).map(Secret::new).map_err(|_| SecretError::Env(name.clone())),
        SecretSource::Credential(name) => {
            let dir =
                std::env::var_os("CREDENTIALS_DIRECTORY").ok_or_else(|| SecretError::NoCredentials(name.clone()))?;
            read_file(PathBuf::from(dir).join(name))
        }
        SecretSource::Inline(secret) => Ok(secret.clone()),
    }
}

fn read_file(path: PathBuf) -> Result<Secret, SecretError> {
    match std::fs::read_to_string(&path) {
        Ok(mut text) => {
            if text.ends_with('\n') {
                text.pop();
            }
            Ok(Secret::new(text))
        }
        Err(source) => Err(SecretError::File { path, source }),
    }
}
