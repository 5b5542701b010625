//! Facts about this host.

use std::num::NonZeroUsize;

/// The host's name.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// How many cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Main memory in bytes.
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    // Both fields are longs of the platform's width.
    #[expect(clippy::useless_conversion, reason = "their width differs between platforms")]
    u64::from(info.totalram).saturating_mul(u64::from(info.mem_unit))
}

/// When this host was switched on.
pub fn booted() -> chrono::DateTime<chrono::Utc> {
    super::clock::now() - chrono::Duration::seconds(rustix::system::sysinfo().uptime)
}

/// A program's path, looked for on PATH as a shell does.
pub fn find_program(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).filter(|dir| dir.is_absolute()).map(|dir| dir.join(name)).find(|path| path.is_file())
}

/// The user that this process acts as.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Whether this process acts as root.
pub fn is_root() -> bool {
    user_id() == 0
}

/// This program's own file, for children of its own.
///
/// # Errors
/// When the kernel does not tell.
pub fn program() -> Result<std::path::PathBuf, super::files::FileError> {
    let told = std::env::current_exe();
    told.map_err(|e| super::files::FileError::new("asking for", std::path::Path::new("/proc/self/exe"), e))
}
