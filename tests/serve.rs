//! Slots, `maint run --due` and the daemon, by the real binary: each slot once, none lost, none forgotten.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/project.rs"]
mod project;
#[path = "support/slots.rs"]
mod slots;

#[path = "serve/crash.rs"]
mod crash;
#[path = "serve/daemon.rs"]
mod daemon;
#[path = "serve/due.rs"]
mod due;
#[path = "serve/minute.rs"]
mod minute;
#[path = "serve/supervised.rs"]
mod supervised;
