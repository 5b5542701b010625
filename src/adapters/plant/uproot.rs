//! Removes a planted tree, however deep and whatever its modes.

use std::{io, path::Path};

use rustix::{
    fs::{self, AtFlags, FileType, Mode, OFlags, RenameFlags},
    io::Errno,
};

use super::Ground;

/// Removes a directory with everything below it, without following links; one that is not there is fine.
///
/// Directories are moved up before they are emptied: neither the stack nor the number of open files grows with the
/// depth that an archive chose.
///
/// # Errors
/// As opendir(3), renameat(2), unlinkat(2) and rmdir(2).
pub fn uproot(path: &Path) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = match fs::open(path, flags, Mode::empty()) {
        Ok(root) => Ground(root),
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    root.itself()?.set_mode(0o700)?;
    clear(&root)?;
    Ok(fs::rmdir(path)?)
}

fn clear(root: &Ground) -> io::Result<()> {
    let mut moved = 0_u64;
    loop {
        let names = root.names()?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let node = root.planted(&name)?;
            if node.kind() != FileType::Directory {
                root.unlink(&name)?;
                continue;
            }
            node.set_mode(0o700)?;
            let dir = root.dir(&name)?;
            for child in dir.names()? {
                let node = dir.planted(&child)?;
                if node.kind() != FileType::Directory {
                    dir.unlink(&child)?;
                    continue;
                }
                node.set_mode(0o700)?;
                move_up(&dir, &child, root, &mut moved)?;
            }
            fs::unlinkat(&root.0, name.as_slice(), AtFlags::REMOVEDIR)?;
        }
    }
}

fn move_up(dir: &Ground, child: &[u8], root: &Ground, moved: &mut u64) -> io::Result<()> {
    loop {
        *moved += 1;
        let name = format!(".{moved}");
        match fs::renameat_with(&dir.0, child, &root.0, name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            done => return Ok(done?),
        }
    }
}
