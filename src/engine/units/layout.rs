//! Where the files lie: beside the jobs, or in a host's directories.

use std::path::{Path, PathBuf};

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// All in one directory, as in the repository.
    Directory(PathBuf),
    /// In `/etc` below this root.
    Host(PathBuf),
}

/// Where units of the administrator's lie on a host.
pub const UNITS: &str = "etc/systemd/system";
/// What is not a unit has directories of its own.
const OTHERS: [(&str, &str); 2] = [("sysusers.d", "etc/sysusers.d"), ("tmpfiles.d", "etc/tmpfiles.d")];

impl Layout {
    /// Where a file lies.
    pub fn path(&self, file: &Path) -> PathBuf {
        match self {
            Self::Directory(dir) => dir.join(file),
            Self::Host(root) => {
                let other =
                    OTHERS.iter().find_map(|(from, to)| Some(root.join(to).join(file.strip_prefix(from).ok()?)));
                other.unwrap_or_else(|| root.join(UNITS).join(file))
            }
        }
    }

    /// The directories that files of ours may lie in.
    pub fn places(&self) -> Vec<PathBuf> {
        let others = OTHERS.iter().map(|(name, _)| *name);
        std::iter::once("").chain(others).map(|name| self.path(Path::new(name))).collect()
    }
}
