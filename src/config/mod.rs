//! Text to validated values: `maint.toml` and `jobs/*.toml`, every mistake with file, line and column.
//!
//! [`load`] reads, checks and resolves everything offline; what it returns is what the engine runs.

mod diagnostic;
pub mod job;
mod load;
mod read;
mod trust;

pub use diagnostic::{ConfigError, Mistake};
pub use job::{BackupPolicy, Job, JobStep, Overlap};
pub use load::{Config, load};
