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

/// The user that this process acts as.
pub fn user_id() -> u32 {
    rustix::process::geteuid().as_raw()
}
