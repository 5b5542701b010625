//! Plan, run, recover: what turns a job into a run.

pub mod plan;
pub mod recover;
pub mod run;
pub mod signal;
