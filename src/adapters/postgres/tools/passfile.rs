//! A password for libpq in a file that nobody else reads and that is gone afterwards (manual 34.16).

use std::path::{Path, PathBuf};

use super::super::{Endpoint, PostgresError};
use crate::{
    adapters::{
        clock,
        files::{self, FileError},
    },
    model::secret::Secret,
};

/// A private passfile; removed with its directory when dropped.
#[derive(Debug)]
pub struct Passfile {
    dir: PathBuf,
    path: PathBuf,
}

impl Passfile {
    /// Writes the endpoint's password, 0600 in a fresh 0700 directory below `parent`; `None` without a password.
    ///
    /// # Errors
    /// When it cannot be written, or the password has a line break.
    pub fn create(parent: &Path, endpoint: &Endpoint) -> Result<Option<Self>, PostgresError> {
        let Some(password) = &endpoint.password else { return Ok(None) };
        if password.reveal().contains(['\n', '\r', '\0']) {
            return Err(PostgresError::Password { endpoint: endpoint.to_string() });
        }
        let dir = parent.join(format!(".pass-{}", clock::run_id()));
        files::create_private_dir(&dir)?;
        let this = Self { path: dir.join("pgpass"), dir };
        files::write_atomic(&this.path, line(password).as_bytes())?;
        Ok(Some(this))
    }

    /// The file, for `PGPASSFILE`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it now; a failure is worth an error, because a password would stay behind.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(self) -> Result<(), FileError> {
        files::remove_tree(&self.dir)
    }
}

impl Drop for Passfile {
    fn drop(&mut self) {
        // Best effort on the way out of an error; the staging sweep removes what is left.
        let _ = files::remove_tree(&self.dir);
    }
}

/// It matches whatever libpq connects to: the file serves one invocation only.
fn line(password: &Secret) -> String {
    let mut text = String::from("*:*:*:*:");
    for c in password.reveal().chars() {
        if matches!(c, ':' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::model::stack::SslMode;

    #[test]
    fn it_is_private_and_gone_afterwards() {
        let parent = tempfile::tempdir().unwrap();
        let endpoint = Endpoint {
            server: "s".into(),
            host: "h".into(),
            port: 1,
            user: "u".into(),
            sslmode: SslMode::Prefer,
            sslrootcert: None,
            password: Some(Secret::new(r"a:b\c".into())),
        };
        let passfile = Passfile::create(parent.path(), &endpoint).unwrap().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(passfile.path()), mode(passfile.path().parent().unwrap())), (0o600, 0o700));
        assert_eq!(std::fs::read_to_string(passfile.path()).unwrap(), "*:*:*:*:a\\:b\\\\c\n");
        drop(passfile);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }
}
