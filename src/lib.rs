//! maint: a production stack's runbook as jobs, and backups that are verified before they count.
//!
//! The rooms of the house, lowest first. A file imports only from rooms with a lower number and from its own;
//! `tests/architecture.rs` checks it. ARCHITECTURE.md tells how data flows through them.
//!
//! | room | rank | what lives there |
//! |---|---|---|
//! | [`model`] | 0 | plain data and pure rules, no I/O |
//! | [`adapters`] | 1 | one file per outside thing: processes, files, PostgreSQL, Docker, the ledger |
//! | [`stream`] | 2 | bytes in motion: frames, artifact writer, contents list, dump and tar formats |
//! | [`page`] | 2 | pages for people: one HTML shell, one style, charts as SVG |
//! | [`capture`] | 3 | the engines that turn a source into artifacts |
//! | [`backup`] | 4 | a set's life after capture: verify, seal, publish, upload |
//! | [`upkeep`] | 4 | the engines that change the stack: vacuum, reindex, logs, prune |
//! | [`reports`] | 4 | what months were like and what comes: Prometheus, PostgreSQL and the ledger, read and computed |
//! | [`steps`] | 5 | one file per step kind |
//! | [`config`] | 6 | text to validated values |
//! | [`engine`] | 7 | plan, run, recover |
//! | [`web`] | 7 | status page and /metrics over HTTP |
//! | [`cli`] | 8 | one file per command; the only room that prints or exits |

#![forbid(unsafe_code)]
#![cfg_attr(test, expect(clippy::disallowed_methods, reason = "tests set their stage with plain files"))]

pub mod adapters;
pub mod backup;
pub mod capture;
pub mod cli;
pub mod config;
pub mod engine;
pub mod model;
pub mod page;
pub mod reports;
pub mod steps;
pub mod stream;
pub mod upkeep;
pub mod web;
