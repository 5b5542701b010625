//! Steps that capture something into artifacts.

pub mod files_archive;
mod packing;
pub mod postgres_dump;
pub mod postgres_globals;
pub mod volume_archive;

use super::parameters::unknown_server;
