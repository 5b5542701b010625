//! The monthly reports against a real Prometheus with a month behind it, and a real PostgreSQL with planted problems.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests set their stage")]

#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/server.rs"]
mod server;

mod monthly {
    mod advice;
    mod bound;
    mod capacity;
    mod history;
    mod performance;
    mod shelf;
}
