//! Statements that take long, or much of all time.

use super::AdviceRequest;
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        tuning::{self, Slow, Statements},
    },
    model::{
        finding::{Finding, Unit},
        reports::advice::Area,
        units::count,
    },
};

/// Who takes more than this of all statements' time is worth a look however fast it is, in percent.
const GREAT_SHARE: f64 = 50.0;

pub(super) async fn look(request: &AdviceRequest<'_>, session: &Session) -> Result<Area, PostgresError> {
    const TITLE: &str = "Slow statements";
    let looked = format!(
        "statements of pg_stat_statements that take {} ms or more on average, or {GREAT_SHARE} % of all time",
        request.slow
    );
    let slow = match tuning::slow_statements(session, request.slow, GREAT_SHARE).await? {
        Statements::Counted(slow) => slow,
        Statements::NotCounted => {
            let looked = "not looked at: pg_stat_statements is not loaded. To have it: ALTER SYSTEM SET \
                          shared_preload_libraries = 'pg_stat_statements'; restart the server; CREATE EXTENSION pg_stat_statements;";
            return Ok(Area::new(TITLE, looked, Vec::new()));
        }
    };
    let finding = |statement: &Slow| {
        let calls = u64::try_from(statement.calls).unwrap_or(0);
        let seen = format!(
            "{:.1} ms on average, {}, {:.0} % of all time: {}",
            statement.mean,
            count(calls, "call"),
            statement.share,
            statement.text
        );
        Finding::warning(format!("statement {}", statement.id), seen)
            .value(statement.mean, Unit::Milliseconds)
            .source("pg_stat_statements")
            .hint(format!("EXPLAIN (ANALYZE, BUFFERS) {}", statement.text.trim_end_matches(';')))
    };
    Ok(Area::new(TITLE, looked, slow.iter().map(finding).collect()))
}
