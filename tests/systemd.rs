//! Timers: what systemd makes of our units, asked of systemd itself.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "systemd/booted.rs"]
mod booted;
#[path = "systemd/calendar.rs"]
mod calendar;
#[path = "support/docker.rs"]
mod docker;
#[path = "systemd/oracle.rs"]
mod oracle;
#[path = "support/project.rs"]
mod project;
#[path = "systemd/units.rs"]
mod units;
