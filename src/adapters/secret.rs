//! Reads secrets from where the configuration says they are, at the moment of use.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::files::{self, FileError};
use crate::model::{
    contents::{hex, unhex},
    failure::{Class, Diagnose},
    secret::{Secret, SecretSource},
};

/// A secret that could not be read. Never carries the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("reading the secret file {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("making the host's secret in {}", dir.display())]
    Host { dir: PathBuf, source: FileError },
    #[error("asking the kernel for random bytes")]
    Random(io::Error),
    #[error("the host's secret {} is damaged", path.display())]
    Damaged { path: PathBuf },
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
            Self::Host { dir, .. } => format!("let the user that runs maint write there: ls -ld {}", dir.display()),
            Self::Random(_) => return None,
            Self::Damaged { path } => format!("remove {}; a new one is made, and dumps differ once", path.display()),
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

/// The secret of this host, made on first use: the key of values that must be stable and not guessable.
///
/// # Errors
/// When it cannot be made or read.
pub fn host(state_dir: &Path) -> Result<Secret, SecretError> {
    let path = state_dir.join("host.secret");
    let making = |source| SecretError::Host { dir: state_dir.to_owned(), source };
    if !path.exists() {
        let random =
            random().map_err(|e| making(FileError::new("asking the kernel for random bytes for", &path, e)))?;
        // Another maint may have been faster; its secret is as good.
        files::write_new(&path, format!("{random}\n").as_bytes()).map_err(making)?;
    }
    let secret = read_file(path.clone())?;
    if unhex(secret.reveal()).is_none_or(|bytes| bytes.len() != 32) {
        return Err(SecretError::Damaged { path });
    }
    Ok(secret)
}

/// A secret for one use, where no host's is at hand.
///
/// # Errors
/// When the kernel has no random bytes.
pub fn fresh() -> Result<Secret, SecretError> {
    random().map(Secret::new).map_err(SecretError::Random)
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 32];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(hex(&bytes))
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
