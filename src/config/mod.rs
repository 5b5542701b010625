//! Text to validated values: `maint.toml` and `jobs/*.toml`, every mistake with file, line and column.
//!
//! [`load`] reads, checks and resolves everything offline; what it returns is what the engine runs. On the way:
//! [`document`](self) gives every value its place in the text, `shape` is what the files may say, `host` and `jobs`
//! turn that into what the engine knows, `elsewhere` knows where a misplaced key belongs.

mod clocks;
pub mod compose;
pub mod coverage;
pub mod daemon;
mod diagnostic;
mod document;
mod elsewhere;
mod host;
pub mod job;
mod jobs;
mod keep;
mod load;
pub mod monitoring;
pub mod notify;
pub mod reports;
mod secrets;
pub mod shape;
mod stores;
mod systemd;
pub mod targets;
mod trust;

pub use diagnostic::{ConfigError, Mistake};
pub use job::{BackupPolicy, IfUnverifiable, Job, JobStep, Mode, OnFailure, Overlap};
pub use load::{Config, load, load_if_any, load_to_tell};
