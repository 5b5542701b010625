//! Restores a captured dump into an almost empty database over maint's own connections, several at once where that is
//! safe, and compares what is there with what was captured.
//!
//! [`database`] executes the dump's SQL in its order on one connection ([`script`]); tables' rows ([`rows`]) and indexes
//! ([`indexes`]) go in over several. [`compare`] reads every table and large object back. [`globals`] and
//! [`properties`] restore what belongs to no dump.

mod compare;
mod connections;
mod error;
mod globals;
mod indexes;
mod large_objects;
mod properties;
mod restore;
mod rows;
mod script;
mod source;

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use compare::{Compared, compare};
pub use error::LoadError;
pub use globals::{Existing, GlobalsOptions, LoadedGlobals, Tablespaces, globals};
pub use properties::properties;
pub use restore::database;
pub use source::DumpFiles;

use crate::{
    model::{
        contents::TableName,
        stack::{Docker, PostgresServer},
    },
    stream::dump::kind::ForeignKey,
};

/// Where to load to, or what to compare.
#[derive(Debug, Clone)]
pub struct LoadOptions<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, for servers in containers.
    pub docker: &'a Docker,
    /// The database; it must be there, and almost empty for a load.
    pub dbname: &'a str,
    /// How many connections at once; at least one is used.
    pub jobs: usize,
    /// Whether the dump's tablespaces are there; else everything goes into the database's own.
    pub tablespaces: bool,
    /// Further settings of every session, name and value. `TimeZone`, `bytea_output` and `lc_monetary` decide how values
    /// are written, and a dump does not say what they were.
    pub settings: &'a [(String, String)],
    /// Only the rows of these tables, and no large objects. Foreign keys that cannot hold because they look into a table
    /// that is left empty are left out.
    pub only: Option<&'a [TableName]>,
}

impl LoadOptions<'_> {
    /// Whether the rows of a table are wanted.
    fn wants(&self, table: &TableName) -> bool {
        self.only.is_none_or(|only| only.contains(table))
    }
}

/// Who is told how far it is: done, total, what is being done.
pub type Progress<'a> = &'a (dyn Fn(u64, u64, &str) + Send + Sync);

/// A database that was loaded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Statements that were executed.
    pub statements: u64,
    /// Tables whose rows were loaded.
    pub tables: u64,
    /// Their rows.
    pub rows: u64,
    /// How long what stands before the rows took: types, functions, tables.
    pub definitions: Duration,
    /// How long the rows took.
    pub data: Duration,
    /// How long the rest took: large objects, indexes, constraints, triggers.
    pub rest: Duration,
    /// Why the rows were loaded one table after the other after all, where they were.
    pub sequential: Option<String>,
    /// Foreign keys that were left out because the table that they look into was left empty.
    pub left_out: Vec<ForeignKey>,
}

/// No holder of these locks can panic with something half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
