//! Statements by the time that they take, as pg_stat_statements counts it.

use crate::{
    adapters::postgres::{PostgresError, Session},
    model::contents,
};

/// What is known of statements.
#[derive(Debug, Clone, PartialEq)]
pub enum Statements {
    /// The extension is not in this database, or its library is not loaded.
    NotCounted,
    /// The slow ones, the most costly first.
    Counted(Vec<Slow>),
}

/// A statement, its constants taken out.
#[derive(Debug, Clone, PartialEq)]
pub struct Slow {
    /// Its id.
    pub id: i64,
    /// Its text, cut where it is long.
    pub text: String,
    /// Whether it was cut.
    pub cut: bool,
    /// How often it ran.
    pub calls: i64,
    /// Milliseconds of an average run.
    pub mean: f64,
    /// Milliseconds of all runs.
    pub total: f64,
    /// Their share of all statements' time, in percent.
    pub share: f64,
}

/// The statements that take at least `mean` milliseconds on average, or `share` percent of all time.
///
/// # Errors
/// When the connection is lost.
pub async fn slow_statements(session: &Session, mean: f64, share: f64) -> Result<Statements, PostgresError> {
    const WHERE: &str = "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace \
         WHERE e.extname = 'pg_stat_statements' \
         AND 'pg_stat_statements' = ANY(string_to_array(replace(current_setting('shared_preload_libraries', true), ' ', ''), ','))";
    let rows = session.query("looking for pg_stat_statements", WHERE, &[]).await?;
    let Some(schema) = rows.first().map(|row| row.get::<_, String>(0)) else { return Ok(Statements::NotCounted) };
    // Only of these the constants are taken out everywhere: the others may have passwords in them.
    let sql = format!(
        "WITH s AS (SELECT queryid, query, calls, mean_exec_time, total_exec_time, \
         100 * total_exec_time / nullif(sum(total_exec_time) OVER (), 0) AS share FROM {}.pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())) \
         SELECT queryid, left(regexp_replace(query, '\\s+', ' ', 'g'), 400), calls, mean_exec_time, total_exec_time, share, \
         length(regexp_replace(query, '\\s+', ' ', 'g')) > 400 FROM s WHERE query ~* '^\\s*(select|insert|update|delete|with|merge)\\M' AND calls > 1 \
         AND total_exec_time >= 1000 AND (mean_exec_time >= $1 OR share >= $2) AND query !~ 'pg_catalog|pg_stat_' \
         ORDER BY total_exec_time DESC LIMIT 10",
        contents::quoted(&schema)
    );
    let rows = session.query("asking for slow statements", &sql, &[&mean, &share]).await?;
    let of = |row: &tokio_postgres::Row| Slow {
        id: row.get::<_, Option<i64>>(0).unwrap_or(0),
        text: row.get::<_, Option<String>>(1).unwrap_or_default(),
        calls: row.get(2),
        mean: row.get(3),
        total: row.get(4),
        share: row.get::<_, Option<f64>>(5).unwrap_or(0.0),
        cut: row.get::<_, Option<bool>>(6).unwrap_or(true),
    };
    Ok(Statements::Counted(rows.iter().map(of).collect()))
}
