//! What would make the stack better, each with its evidence and the exact command. Nothing is changed.

mod backups;
mod bloat;
mod containers;
mod indexes;
mod logs;
mod server;
mod statements;

use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    adapters::postgres::{Session, tuning},
    model::{
        failure::chain,
        reports::advice::Area,
        roster::JobFacts,
        stack::{PostgresServer, Stack},
        units::age,
    },
};

/// What to look at, and from where on something is worth telling.
pub struct AdviceRequest<'a> {
    /// The host's stack.
    pub stack: &'a Stack,
    /// Its jobs.
    pub jobs: &'a [JobFacts],
    /// The server.
    pub server: Option<&'a PostgresServer>,
    /// The database.
    pub database: &'a str,
    /// The Prometheus server that knows the containers; `None`: the only one.
    pub prometheus: Option<&'a str>,
    /// Whether containers are looked at.
    pub containers: bool,
    /// Directories with logs.
    pub logs: &'a [PathBuf],
    /// From how many bytes on a directory of logs is told.
    pub log_limit: u64,
    /// Of younger statistics nothing is said about what was not used.
    pub least_history: TimeDelta,
    /// Indexes below so many bytes are let be.
    pub least_index: u64,
    /// Tables below so many bytes are not looked at for bloat.
    pub least_bloat: u64,
    /// The share of air from which on it is told, in percent.
    pub bloat: f64,
    /// The share of blocks that should be found in the cache, in percent.
    pub cache_hit: f64,
    /// Milliseconds from which on an average statement is slow.
    pub slow: f64,
    /// How much more than its peak a container may have, in percent.
    pub headroom: f64,
    /// Now.
    pub now: DateTime<Utc>,
}

/// Looks at everything.
pub async fn look(request: &AdviceRequest<'_>) -> Vec<Area> {
    let mut areas = Vec::new();
    if let Some(server) = request.server {
        areas.extend(database(request, server).await);
    }
    if request.containers {
        areas.push(containers::look(request).await);
    }
    areas.extend(request.logs.iter().map(|dir| logs::look(dir, request.log_limit)));
    areas.push(backups::look(request));
    areas
}

async fn database(request: &AdviceRequest<'_>, server: &PostgresServer) -> Vec<Area> {
    let connected = Session::connect(server, &request.stack.docker, request.database, "maint recommendations").await;
    let session = match connected {
        Ok(session) => session,
        Err(error) => return vec![Area::unknown("Database", chain(&error))],
    };
    let traffic = match tuning::traffic(&session).await {
        Ok(traffic) => traffic,
        Err(error) => return vec![Area::unknown("Database", chain(&error))],
    };
    let mut areas = Vec::new();
    let mut add = |title: &str, looked: Result<Area, crate::adapters::postgres::PostgresError>| {
        areas.push(looked.unwrap_or_else(|error| Area::unknown(title, chain(&error))));
    };
    add("Unused indexes", indexes::unused(request, &session, &traffic).await);
    add("Foreign keys without an index", indexes::missing(&session).await);
    add("Tables that are read whole", indexes::scans(&session, &traffic).await);
    add("Cache", Ok(server::cache(request, server, &session, &traffic).await));
    add("Settings", server::settings(&session, &traffic).await);
    add("Slow statements", statements::look(request, &session).await);
    add("Bloat", bloat::look(request, &session).await);
    session.close().await;
    areas
}

/// Since when the server counts, in words.
fn since(request: &AdviceRequest<'_>, traffic: &tuning::Traffic) -> String {
    format!("statistics of {}", age(request.now - traffic.since))
}
