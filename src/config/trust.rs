//! Who may write the configuration may run programs as maint: it must be nobody else.

use std::path::Path;

use super::diagnostic::Mistake;
use crate::adapters::{
    files::{self, Owner},
    host,
};

/// Group's and others' write bits.
const WRITABLE: u32 = 0o022;
/// In a sticky directory (/tmp) only an entry's owner can replace it.
const STICKY: u32 = 0o1000;
/// Others' read bits.
const READABLE_BY_OTHERS: u32 = 0o004;

/// Checks a file or directory and everything above it.
pub(super) fn check(path: &Path) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = check_file(path).into_iter().collect();
    for dir in path.ancestors().skip(1) {
        let Ok(owner) = files::owner(dir) else { continue };
        if owner.mode & WRITABLE != 0 && owner.mode & STICKY == 0 {
            let message = format!("others may replace the configuration: {} is writable by them", dir.display());
            mistakes.push(Mistake::whole(path, message).help(format!("chmod go-w {}", dir.display())));
        } else {
            mistakes.extend(foreign(path, dir, owner));
        }
    }
    mistakes
}

/// Checks a file or directory alone.
pub(super) fn check_file(path: &Path) -> Option<Mistake> {
    // What is not there is reported by its reader.
    let owner = files::owner(path).ok()?;
    if owner.mode & WRITABLE != 0 {
        let message =
            format!("others may write it (mode {:04o}), and whoever writes it acts as maint", owner.mode & 0o7777);
        return Some(Mistake::whole(path, message).help(format!("chmod go-w {}", path.display())));
    }
    foreign(path, path, owner)
}

fn foreign(subject: &Path, path: &Path, owner: Owner) -> Option<Mistake> {
    let me = host::user_id();
    (owner.uid != 0 && owner.uid != me).then(|| {
        let message = format!("{} belongs to user {}, not to root or the caller ({me})", path.display(), owner.uid);
        Mistake::whole(subject, message).help(format!("chown root {}", path.display()))
    })
}

/// A secret that everybody can read is worth a warning.
pub(super) fn check_secret(path: &Path, what: &str) -> Option<Mistake> {
    let owner = files::owner(path).ok()?;
    (owner.mode & READABLE_BY_OTHERS != 0).then(|| {
        let mistake = Mistake::whole(path, format!("everybody on this host can read this {what}"));
        Mistake { warning: true, ..mistake.help(format!("chmod 600 {}", path.display())) }
    })
}
