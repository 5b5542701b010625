//! What a database's own statistics say of how it is used: indexes, scans, the cache, settings, statements.

mod indexes;
mod server;
mod statements;

pub use indexes::{Scanned, Unindexed, Unused, scanned, unindexed, unused};
pub use server::{Setting, Traffic, settings, traffic};
pub use statements::{Slow, Statements, slow_statements};
