//! Disks that are too small.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{path::Path, process::Command};

/// A small disk, unmounted when dropped.
pub struct Disk(tempfile::TempDir);

impl Disk {
    pub fn new(mib: u64) -> Self {
        Self::with(&format!("size={mib}m"))
    }

    /// One with tmpfs' own options.
    pub fn with(options: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path()).status();
        assert!(mounted.unwrap().success(), "mount needs root");
        Self(dir)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}
