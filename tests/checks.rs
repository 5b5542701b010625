//! Checks against real servers: every verdict by what it takes to get it wrong.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests set their stage")]

#[path = "support/disk.rs"]
mod disk;
#[path = "support/docker.rs"]
mod docker;
#[path = "../fuzz/src/certificate.rs"]
mod fuzzed;
#[path = "support/mail.rs"]
mod mail;
#[path = "support/nginx.rs"]
mod nginx;
#[path = "support/postgres.rs"]
mod postgres;
#[path = "support/project.rs"]
mod project;
#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/redis.rs"]
mod redis;
#[path = "support/server.rs"]
mod server;

mod checks {
    mod alerts;
    mod backups;
    mod book;
    mod certificate;
    mod containers;
    mod disk;
    mod endpoint;
    mod evening;
    mod hung;
    mod metric;
    mod morning;
    mod postgres_health;
    mod redis_cluster;
    mod stage;
    mod standby;
}
