//! Steps that capture something into artifacts.

pub mod files_archive;
mod packing;
pub mod postgres_dump;
pub mod postgres_globals;
pub mod volume_archive;

use super::Problem;
use crate::model::stack::Stack;

/// What is wrong with the name of a server that `maint.toml` does not have.
fn unknown_server(stack: &Stack, name: &str) -> Option<Problem> {
    if stack.postgres.contains_key(name) {
        return None;
    }
    let known: Vec<_> = stack.postgres.keys().map(String::as_str).collect();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Some(Problem { key: "server", message: format!("there is no [postgres.{name}] in maint.toml; it has: {known}") })
}
