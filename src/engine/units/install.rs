//! Units as they are on a host, as they should be, and what makes one the other.

use std::path::{Path, PathBuf};

use super::{DAEMON, MARK, RECOVER, Unit, error::UnitsError, layout::Layout};
use crate::adapters::{files, systemd::Systemd};

/// A unit file is a few KiB.
const LIMIT: u64 = 1 << 20;

/// What is to be done about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is as it should be.
    Keep(PathBuf),
    /// It is not there.
    Create(PathBuf, String),
    /// It says something else.
    Replace(PathBuf, String),
    /// It is ours, and nothing needs it any more: the job is gone.
    Remove(PathBuf),
    /// It has our name and somebody else wrote it.
    Foreign(PathBuf),
}

impl Change {
    /// The file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Keep(path)
            | Self::Create(path, _)
            | Self::Replace(path, _)
            | Self::Remove(path)
            | Self::Foreign(path) => path,
        }
    }
}

/// What makes the files below a layout these.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn compare(units: &[Unit], layout: &Layout) -> Result<Vec<Change>, UnitsError> {
    let mut changes = Vec::new();
    for unit in units {
        let path = layout.path(&unit.path);
        changes.push(match read(&path)? {
            None => Change::Create(path, unit.text.clone()),
            Some(text) if text == unit.text => Change::Keep(path),
            Some(text) if is_ours(&text) => Change::Replace(path, unit.text.clone()),
            Some(_) => Change::Foreign(path),
        });
    }
    let wanted: Vec<_> = units.iter().map(|unit| layout.path(&unit.path)).collect();
    changes.extend(ours(layout)?.into_iter().filter(|path| !wanted.contains(path)).map(Change::Remove));
    Ok(changes)
}

/// Every file of ours below a layout.
///
/// # Errors
/// When a directory or a file cannot be read.
pub fn ours(layout: &Layout) -> Result<Vec<PathBuf>, UnitsError> {
    let mut found = Vec::new();
    for dir in layout.places() {
        for name in names(&dir)? {
            if !name.starts_with("maint") {
                continue;
            }
            let path = dir.join(&name);
            // Drop-ins have directories of their own.
            let path = if name.ends_with(".d") { path.join("maint.conf") } else { path };
            if read(&path)?.is_some_and(|text| is_ours(&text)) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// Carries changes out on files.
///
/// # Errors
/// At a file that is somebody else's, before anything is done; when one cannot be written or removed.
pub fn carry_out(changes: &[Change]) -> Result<(), UnitsError> {
    if let Some(Change::Foreign(path)) = changes.iter().find(|c| matches!(c, Change::Foreign(_))) {
        return Err(UnitsError::Foreign { path: path.clone() });
    }
    for change in changes {
        match change {
            Change::Create(path, text) | Change::Replace(path, text) => {
                if let Some(dir) = path.parent() {
                    files::create_public_dir(dir)?;
                }
                files::write_alone(path, text.as_bytes())?;
                files::set_mode(path, 0o644)?;
            }
            Change::Remove(path) => {
                files::remove_file(path)?;
                let dir = path.parent().filter(|dir| dir.extension().is_some_and(|end| end == "d"));
                if let Some(dir) = dir.filter(|dir| dir.to_string_lossy().ends_with(".service.d")) {
                    files::remove_empty_dir(dir)?;
                }
            }
            Change::Keep(_) | Change::Foreign(_) => {}
        }
    }
    Ok(())
}

/// What systemd is told around a change of files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Telling {
    /// Units that are disabled and stopped, before their files go.
    pub disable: Vec<String>,
    /// Units that are enabled, once their files are there.
    pub enable: Vec<String>,
    /// Of these, what can be started at once.
    pub start: Vec<String>,
}

impl Telling {
    /// For an installation: timers of jobs that are gone, and all that there are.
    pub fn of(units: &[Unit], changes: &[Change]) -> Self {
        let gone = changes.iter().filter_map(|change| match change {
            Change::Remove(path) => timer_name(path),
            _ => None,
        });
        let timers: Vec<_> = units.iter().filter(|unit| unit.is_timer()).map(Unit::name).collect();
        let enable = timers.iter().cloned().chain([RECOVER.to_owned()]).collect();
        Self { disable: gone.collect(), enable, start: timers }
    }

    /// For the end: every timer, the daemon, and the unit at boot.
    pub fn of_removal(files: &[PathBuf]) -> Self {
        let services = files.iter().filter_map(|path| path.file_name()?.to_str());
        let services = services.filter(|name| [DAEMON, RECOVER].contains(name)).map(str::to_owned);
        let timers = files.iter().filter_map(|path| timer_name(path));
        Self { disable: timers.chain(services).collect(), ..Self::default() }
    }
}

fn timer_name(path: &Path) -> Option<String> {
    path.file_name().and_then(|name| name.to_str()).filter(|name| name.ends_with(".timer")).map(str::to_owned)
}

/// Installs: timers of gone jobs end, files change, the new ones are read, timers are enabled and with `now` started.
///
/// # Errors
/// When a file cannot be written, or systemd refuses.
pub async fn install(changes: &[Change], telling: &Telling, systemd: &Systemd, now: bool) -> Result<(), UnitsError> {
    if let Some(Change::Foreign(path)) = changes.iter().find(|c| matches!(c, Change::Foreign(_))) {
        return Err(UnitsError::Foreign { path: path.clone() });
    }
    systemd.disable(&telling.disable).await?;
    carry_out(changes)?;
    systemd.make_users_and_directories().await?;
    systemd.reload().await?;
    systemd.enable(&telling.enable).await?;
    if now {
        systemd.start(&telling.start).await?;
    }
    Ok(())
}

/// Takes away what is ours.
///
/// # Errors
/// When a file cannot be removed, or systemd refuses.
pub async fn uninstall(files: &[PathBuf], systemd: &Systemd) -> Result<(), UnitsError> {
    systemd.disable(&Telling::of_removal(files).disable).await?;
    let changes: Vec<_> = files.iter().cloned().map(Change::Remove).collect();
    carry_out(&changes)?;
    systemd.reload().await?;
    Ok(systemd.forget_failures().await?)
}

fn is_ours(text: &str) -> bool {
    text.lines().next() == Some(MARK)
}

fn read(path: &Path) -> Result<Option<String>, UnitsError> {
    // A link, as `systemctl mask` makes one, is somebody else's decision.
    if path.symlink_metadata().is_ok_and(|meta| !meta.is_file()) {
        return Ok(Some(String::new()));
    }
    match files::read_limited(path, LIMIT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn names(dir: &Path) -> Result<Vec<String>, UnitsError> {
    match files::list(dir) {
        Ok(names) => Ok(names.iter().map(|name| name.to_string_lossy().into_owned()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}
