//! Retention: what a policy promises is kept, nothing is deleted that should stay, and an interrupted deletion ends well.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/project.rs"]
mod project;

#[path = "keep/policy.rs"]
mod policy;
#[path = "keep/years.rs"]
mod years;
