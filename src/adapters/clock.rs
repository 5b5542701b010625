//! The only place that reads the time.

use std::time::Instant;

use chrono::{DateTime, Utc};

/// Now, by the wall clock.
#[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
pub fn now() -> DateTime<Utc> {
    Utc::now()
}

/// Now, by the monotonic clock: for durations.
#[expect(clippy::disallowed_methods, reason = "this is the clock adapter")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A fresh time-ordered id.
#[expect(clippy::disallowed_methods, reason = "UUIDv7 reads the time")]
pub fn run_id() -> crate::model::ids::RunId {
    crate::model::ids::RunId(uuid::Uuid::now_v7())
}
