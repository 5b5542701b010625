//! PostgreSQL: sessions of maint's own, the catalogue's answers, the client tools, and private servers.
//!
//! A [`Session`] asks; [`advisory`] holds a lock with one; [`catalogue`] knows the questions; [`tools`] finds `pg_dump` and its siblings and hands them a
//! connection without a secret in sight; [`throwaway`] runs a server of maint's own.

pub mod advisory;
pub mod catalogue;
mod endpoint;
mod error;
pub mod health;
pub mod inventory;
mod session;
pub mod throwaway;
mod tls;
pub mod tools;
pub mod tuning;
pub mod upkeep;

pub use endpoint::Endpoint;
pub use error::PostgresError;
pub use session::{Notice, ServerState, Session};
