//! Services updated by the real binary: a private engine, docker-compose, nginx in front, and somebody who keeps asking.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests set their stage")]

#[path = "support/docker.rs"]
mod docker;
#[path = "support/project.rs"]
mod project;
#[path = "support/registry.rs"]
mod registry;
#[path = "rolling/stage.rs"]
mod stage;

#[path = "rolling/beside.rs"]
mod beside;
#[path = "rolling/deaths.rs"]
mod deaths;
#[path = "rolling/place.rs"]
mod place;
#[path = "rolling/pull.rs"]
mod pull;
#[path = "rolling/second.rs"]
mod second;
