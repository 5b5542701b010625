//! Real PostgreSQL clusters for tests: private, on a unix socket, stopped when dropped, also on panic.

#![allow(dead_code, reason = "every test binary uses its own part")]
