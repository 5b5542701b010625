//! What the host itself must have: directories, space, a Docker engine where a job uses one, a clock.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::Check;
use crate::{
    adapters::{clock, docker::Docker, files},
    backup::drill::place,
    config::Config,
    model::{
        failure::{Diagnose, chain},
        stack::{PostgresAddress, Stack},
        units::{ByteSize, count},
    },
};

const HOST: &str = "host";
/// With less than this no job gets far.
const LEAST_SPACE: u64 = 64 << 20;

/// The configuration is valid, or the doctor would not have come; its warnings are repeated.
pub(super) fn configuration(config: &Config) -> Check {
    match config.warnings.as_slice() {
        [] => Check::ok(HOST, "configuration", config.path.display().to_string()),
        [first, rest @ ..] => {
            let more = if rest.is_empty() { String::new() } else { format!(" (and {} more)", rest.len()) };
            let reason = format!("{}: {}{more}", first.file.display(), first.message);
            Check::warning(HOST, "configuration", reason, "see all of it: maint check")
        }
    }
}

/// `needed`: bytes of the databases, an upper bound for a set of them.
pub(super) fn directories(stack: &Stack, needed: u64) -> Vec<Check> {
    vec![
        writable("state directory", &stack.state_dir),
        writable("backup directory", &stack.backup_dir),
        space(&stack.backup_dir, needed),
    ]
}

/// A directory that is not there yet is made by the first run, in the nearest one that is.
fn nearest(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"))
}

fn writable(check: &'static str, dir: &Path) -> Check {
    let there = nearest(dir);
    match files::check_writable(there) {
        Err(error) => Check::failed(HOST, check, &error),
        Ok(()) if there == dir => Check::ok(HOST, check, format!("{} can be written", dir.display())),
        Ok(()) => Check::ok(HOST, check, format!("{} will be made by the first run", dir.display())),
    }
}

fn space(dir: &Path, needed: u64) -> Check {
    let free = match files::free_space(nearest(dir)) {
        Err(error) => return Check::failed(HOST, "space", &error),
        Ok(free) => free,
    };
    let found = format!("{} free in {}, the databases have {}", ByteSize(free), dir.display(), ByteSize(needed));
    if free < LEAST_SPACE.max(needed) {
        Check::warning(HOST, "space", found, format!("free some, see: df -h {}", nearest(dir).display()))
    } else {
        Check::ok(HOST, "space", found)
    }
}

/// Asks the engine where something of the configuration needs one.
pub(super) async fn docker(config: &Config) -> Option<Check> {
    let server_in_container = config
        .stack
        .postgres
        .values()
        .any(|s| s.tools_in.is_some() || matches!(s.address, PostgresAddress::Container { .. }));
    let volumes = config.jobs.values().flat_map(|job| &job.steps).filter(|s| s.step.name() == "volume_archive").count();
    if !server_in_container && volumes == 0 {
        return None;
    }
    let asked = async { Docker::connect(&config.stack.docker.host).await?.version().await };
    Some(match asked.await {
        Ok(version) => Check::ok(HOST, "docker", format!("engine {version} at {}", config.stack.docker.host)),
        Err(error) => Check::failed(HOST, "docker", &error),
    })
}

/// Whether a set could be restored to try it.
pub(super) async fn drill(stack: &Stack, cancel: &CancellationToken) -> Check {
    match place::rehearse(&stack.drill, &stack.docker, cancel).await {
        Ok(found) => Check::ok(HOST, "drill", found),
        Err(error) => Check::warning(HOST, "drill", chain(&error), error.hint().unwrap_or_default()),
    }
}

/// Slots are computed in the stack's zone; the servers' checks compare the clocks.
pub(super) fn clock(stack: &Stack) -> Check {
    let now = clock::now().with_timezone(&stack.timezone).format("%Y-%m-%d %H:%M:%S");
    let servers = count(stack.postgres.len() as u64, "server");
    Check::ok(HOST, "clock", format!("{now} {}; compared with {servers}", stack.timezone))
}
