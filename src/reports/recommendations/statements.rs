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
            .hint(explain(statement))
    };
    Ok(Area::new(TITLE, looked, slow.iter().map(finding).collect()))
}

/// What shows the plan. Its constants were taken out: without them only the plan that any would have can be told, and nothing runs.
fn explain(statement: &Slow) -> String {
    if statement.cut {
        return format!(
            "SELECT query FROM pg_stat_statements WHERE queryid = {}; then EXPLAIN it, with values for its $n",
            statement.id
        );
    }
    let text = statement.text.trim_end_matches(';');
    let parameter = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().and_then(|n| n.parse::<usize>().ok());
    match text.split('$').skip(1).filter_map(parameter).max() {
        None if text.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select")) => {
            format!("EXPLAIN (ANALYZE, BUFFERS) {text};")
        }
        None => format!("EXPLAIN {text};"),
        Some(last) => format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE slow AS {text}; EXPLAIN EXECUTE slow({});",
            vec!["NULL"; last].join(", ")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_nothing_is_run_to_be_explained() {
        let of = |text: &str, cut| {
            explain(&Slow { id: 7, text: text.into(), cut, calls: 2, mean: 1.0, total: 2.0, share: 3.0 })
        };
        assert_eq!(of("SELECT a FROM t", false), "EXPLAIN (ANALYZE, BUFFERS) SELECT a FROM t;");
        assert_eq!(of("DELETE FROM t;", false), "EXPLAIN DELETE FROM t;");
        assert!(of("SELECT $1, $12 FROM t WHERE a = $2", false).ends_with("t WHERE a = $2; EXPLAIN EXECUTE slow(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);"));
        assert!(of("SELECT a FROM", true).starts_with("SELECT query FROM pg_stat_statements WHERE queryid = 7;"));
    }
}
