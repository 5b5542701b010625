//! Steps that change the stack to keep it well, and say what they left undone.

pub mod analyze;
pub mod bloat;
pub mod docker_prune;
pub mod image_pull;
pub mod log_rotate;
pub mod reindex;
pub mod rolling_restart;
pub mod vacuum;

use std::time::Duration;

use super::{StepError, StepReport};
use crate::{
    model::stack::{PostgresServer, Stack},
    upkeep::{Done, UpkeepError},
};

/// Five seconds are long for a writer, and enough for whoever is about to end.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

fn report(done: Done) -> StepReport {
    let outcome = done.outcome();
    StepReport { outcome, ..StepReport::found(done.summary, done.findings) }
}

fn server<'a>(stack: &'a Stack, name: &str) -> Result<&'a PostgresServer, StepError> {
    let found = stack.postgres.get(name);
    Ok(found.ok_or_else(|| UpkeepError::UnknownServer { server: name.to_owned() })?)
}

fn database<'a>(server: &'a PostgresServer, named: Option<&'a String>) -> &'a str {
    named.unwrap_or(&server.dbname)
}

/// The database for the dry run, where the server is not resolved yet.
fn named_database<'a>(stack: &'a Stack, server: &str, named: Option<&'a String>) -> &'a str {
    match (named, stack.postgres.get(server)) {
        (Some(named), _) => named,
        (None, Some(server)) => &server.dbname,
        (None, None) => "?",
    }
}
