//! A set's life after capture: verify, seal, publish, prune; and what stands in `backups/`.
//!
//! The types are the promise: [`seal`](seal::seal) takes [`Verified`](verify::Verified), which only the verifier can
//! make, and [`publish`](publish::publish) takes [`Sealed`](seal::Sealed). So nothing unverified is ever published. What is
//! sent to a store is a [`VerifiedSet`](verify::VerifiedSet), which only the verifier makes too.

pub mod anomaly;
pub mod audit;
pub mod chain;
pub mod copies;
mod create_database;
pub mod drill;
pub mod fetch;
pub mod freshness;
pub mod load;
pub mod objects;
pub mod publish;
pub mod records;
pub mod restore;
mod restore_md;
pub mod retention;
pub mod seal;
pub mod sets;
pub mod staging;
pub mod upload;
pub mod verify;
