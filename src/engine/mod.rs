//! Plan, run, recover: what turns a job into a run.
//!
//! [`plan`] is pure: its display is the dry run. [`run`] takes the locks, carries the plan out step by step, and in a
//! backup job goes on with verify, seal and publish, and [`prune`]s. [`recover`] puts right what a dead run left.
//! [`notify`] tells people how it ended, at the end of every run (`after`) and whenever it is called.
//! [`units`] are how systemd starts all of it.

mod after;
pub mod daemon;
pub mod due;
pub mod metrics;
pub mod notify;
pub mod plan;
pub mod prune;
pub mod recover;
pub mod run;
pub mod signal;
pub mod units;
