//! `postgres_health`: connections, size, what has been going on for too long, wraparound, replication.

mod replication;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{at_best, late, measured, summary, unasked, unknown_name};
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        health::{self, Activity, Health, Wraparound},
    },
    model::{
        bands::Bands,
        finding::{Band, Finding, Unit},
        span::Span,
        stack::{PostgresServer, Stack},
        units::grouped,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Where transaction ids wrap.
const WRAP: f64 = 2_147_483_648.0;
/// As many sessions are named.
const NAMED: usize = 5;
/// What a role needs to see the others.
const GRANT: &str = "let maint's role see other sessions: GRANT pg_monitor TO …";

/// How a PostgreSQL server fares. Each of the bands has a default.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresHealth {
    /// The `[postgres.NAME]`.
    server: String,
    /// Client connections, in percent of what the server takes. Default: good below 80 %, critical above 95 %.
    #[serde(default)]
    connections: Option<Bands>,
    /// The database's size. Default: it is shown only.
    #[serde(default)]
    size: Option<Bands>,
    /// Seconds that a query has been running. Default: good below 60, critical above 1800.
    #[serde(default)]
    query: Option<Bands>,
    /// Seconds that a transaction has been open while its session does nothing. Default: good below 300, critical above 3600.
    #[serde(default)]
    idle_in_transaction: Option<Bands>,
    /// Age of the oldest transaction id and multixact, in percent of where they wrap. Default: good below 40 %, critical
    /// above 60 %.
    #[serde(default)]
    wraparound: Option<Bands>,
    /// Seconds that a standby is behind. Default: good below 10, critical above 60.
    #[serde(default)]
    lag: Option<Bands>,
    /// Bytes of WAL that a standby has not replayed. Default: good below 1 GB, critical above 10 GB.
    #[serde(default)]
    lag_wal: Option<Bands>,
    /// Bytes of WAL that a replication slot holds back. Default: good below 1 GB, critical above 10 GB.
    #[serde(default)]
    slot_wal: Option<Bands>,
    /// How many standbys there must be. Default: none.
    #[serde(default)]
    standbys: Option<u32>,
    /// How long the server may take to answer. Default: `10s`.
    #[serde(default)]
    timeout: Option<Span>,
}

impl StepKind for PostgresHealth {
    const SUMMARY: &'static str =
        "Looks how a PostgreSQL server fares: connections, long queries, wraparound, replication";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_name("server", "postgres", &self.server, &stack.postgres).into_iter().collect()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        vec![format!("ask the server {} how it fares", self.server)]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let within = self.timeout.map_or(ANSWER_WITHIN, |span| span.0);
        let Some(server) = context.stack.postgres.get(&self.server) else {
            return Ok(StepReport::found("", vec![Finding::unknown(&self.server, "it is not configured")]));
        };
        let ask = async {
            let session = Session::connect(server, &context.stack.docker, &server.dbname, "maint health").await?;
            let health = session.health().await;
            session.close().await;
            health
        };
        let findings = match tokio::time::timeout(within, ask).await {
            Ok(Ok(health)) => self.judge(server, &health),
            Ok(Err(error)) => vec![self.no_answer(&error)],
            Err(_) => vec![late(&self.server, within)],
        };
        Ok(StepReport::found(summary("thing", &findings).replace("things", "things looked at"), findings))
    }
}

impl PostgresHealth {
    /// A server that refuses connections is what the check is for; anything else in the way is not the server's state.
    fn no_answer(&self, error: &PostgresError) -> Finding {
        let finding = unasked(&self.server, error);
        match error {
            PostgresError::Unreachable { .. } => Finding { band: Band::Critical, ..finding },
            _ => finding,
        }
    }

    fn judge(&self, server: &PostgresServer, health: &Health) -> Vec<Finding> {
        let mut findings = vec![self.connections(server, health), self.size(&server.dbname, health)];
        let of = |bands: &Option<Bands>, good, critical| bands.clone().unwrap_or_else(|| Bands::below(good, critical));
        let (query, idle) = (of(&self.query, 60.0, 1800.0), of(&self.idle_in_transaction, 300.0, 3600.0));
        findings.extend(sessions("long-running queries", server, health.active.as_deref(), (&query, health::ACTIVE)));
        let idle_sessions = health.idle_in_transaction.as_deref();
        findings.extend(sessions("idle in transaction", server, idle_sessions, (&idle, health::IDLE)));
        let bands = of(&self.wraparound, 40.0, 60.0);
        findings.push(wraparound("transaction ids", &health.transaction_ids, &bands, health));
        findings.push(wraparound("multixacts", &health.multixacts, &bands, health));
        let lag = replication::Lag { seconds: of(&self.lag, 10.0, 60.0), wal: of(&self.lag_wal, 1e9, 10e9) };
        findings.extend(replication::standbys(health, &lag, self.standbys.unwrap_or(0)));
        let (prepared, oldest) = health.prepared;
        if prepared > 0 {
            let seconds = oldest.unwrap_or(f64::NAN);
            let finding = measured("prepared transactions", seconds, Unit::Seconds, Some(&idle));
            let seen = format!("{prepared}, the oldest for {}", finding.seen);
            let finding = Finding { seen, ..finding }.source("SELECT gid, prepared FROM pg_prepared_xacts");
            findings.push(advised(
                finding,
                &format!(
                    "see them: {}; end each: COMMIT PREPARED or ROLLBACK PREPARED, and its gid",
                    server.psql(&server.dbname, &["SELECT * FROM pg_prepared_xacts"])
                ),
            ));
        }
        let held = of(&self.slot_wal, 1e9, 10e9);
        findings.extend(health.slots.iter().map(|slot| replication::slot(slot, &held)));
        findings
    }

    fn connections(&self, server: &PostgresServer, health: &Health) -> Finding {
        let subject = "connections";
        let bands = self.connections.clone().unwrap_or_else(|| Bands::below(80.0, 95.0));
        let Some(connections) = health.connections else {
            return hidden(subject).source(health::CONNECTIONS);
        };
        let most = health.max_connections;
        let finding = measured(subject, connections as f64 / most as f64 * 100.0, Unit::Percent, Some(&bands));
        let seen = format!("{connections} of {most}, {}", finding.seen);
        let whose = "SELECT usename, application_name, state, count(*) FROM pg_stat_activity GROUP BY 1, 2, 3";
        let hint = format!("see whose they are: {}", server.psql(&server.dbname, &[whose]));
        advised(Finding { seen, ..finding }.source(health::CONNECTIONS), &hint)
    }

    fn size(&self, dbname: &str, health: &Health) -> Finding {
        let finding = measured(format!("{dbname} size"), health.size as f64, Unit::Bytes, self.size.as_ref());
        advised(finding.source(health::SIZE), "see what grew: maint run weekly-database --only bloat")
    }
}

fn advised(finding: Finding, hint: &str) -> Finding {
    if finding.band.is_fine() { finding } else { finding.hint(hint) }
}

/// What the role may not see must not pass for nothing.
fn hidden(subject: &str) -> Finding {
    Finding::unknown(subject, "maint's role may not see other sessions").hint(GRANT)
}

/// The oldest session says how good it is; those beyond the band are named. Never the query itself: it may hold secrets.
fn sessions(
    subject: &str,
    server: &PostgresServer,
    sessions: Option<&[Activity]>,
    (bands, source): (&Bands, &str),
) -> Vec<Finding> {
    let Some(sessions) = sessions else { return vec![hidden(subject).source(source)] };
    let bad: Vec<&Activity> = sessions.iter().filter(|s| !bands.band(s.seconds).is_fine()).collect();
    if bad.is_empty() {
        let longest = sessions.first().map_or(0.0, |session| session.seconds);
        return vec![Finding::good(subject, "none").value(longest, Unit::Seconds).source(source)];
    }
    let mut findings: Vec<Finding> = bad
        .iter()
        .take(NAMED)
        .map(|session| {
            let Activity { pid, application, user, database, seconds } = session;
            let program = if application.is_empty() { "a program without a name" } else { application };
            let who = format!("{subject}, pid {pid}");
            let finding = measured(who, *seconds, Unit::Seconds, Some(bands));
            let seen = format!("{}: {program} of {user} in {database}", finding.seen);
            let psql = |sql: &str| server.psql(&server.dbname, &[sql]);
            let see = psql(&format!("SELECT query FROM pg_stat_activity WHERE pid = {pid}"));
            let end = psql(&format!("SELECT pg_terminate_backend({pid})"));
            let hint = format!("see it: {see}; end it, if it may go: {end}");
            Finding { seen, ..finding }.source(source).hint(hint)
        })
        .collect();
    if bad.len() > NAMED {
        let seen = format!("{} more", bad.len() - NAMED);
        findings.push(Finding::warning(subject, seen).source(source).hint(format!(
            "see them all: {}",
            server.psql(&server.dbname, &["SELECT * FROM pg_stat_activity ORDER BY query_start"])
        )));
    }
    findings
}

fn wraparound(what: &str, oldest: &Wraparound, bands: &Bands, health: &Health) -> Finding {
    let finding = measured(what, oldest.age as f64 / WRAP * 100.0, Unit::Percent, Some(bands));
    let age = u64::try_from(oldest.age).unwrap_or(0);
    let seen = format!("{}, {} in {}", finding.seen, grouped(age), oldest.database);
    let finding = Finding { seen, ..finding };
    // The sawtooth up to the server's own limit is normal; beyond it with nobody at work is not.
    let idle = health.autovacuum_workers == Some(0) && oldest.age as f64 > health.freeze_max_age as f64 * 1.5;
    let finding = if idle {
        let seen =
            format!("{}, far beyond autovacuum_freeze_max_age, and no autovacuum worker is at work", finding.seen);
        at_best(Finding { seen, ..finding }, Band::Warning)
    } else {
        finding
    };
    let hint = format!(
        "find what holds it back (old transactions, slots, prepared transactions), then: VACUUM FREEZE in {}",
        oldest.database
    );
    advised(finding.source(health::WRAPAROUND), &hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::stack::tests::example;

    #[test]
    fn wraparound_is_judged_by_where_ids_wrap_and_by_who_is_at_work() {
        let judged = |age, workers| {
            let health = Health { autovacuum_workers: workers, ..idle() };
            let oldest = Wraparound { database: "d".into(), age };
            wraparound("transaction ids", &oldest, &Bands::below(40.0, 60.0), &health)
        };
        // The usual sawtooth, up to the server's own limit and a while beyond it.
        assert_eq!(judged(199_000_000, Some(0)).band, Band::Good);
        assert_eq!(judged(310_000_000, Some(1)).band, Band::Good);
        let alone = judged(310_000_000, Some(0));
        assert!(alone.band == Band::Warning && alone.seen.contains("no autovacuum worker is at work"), "{alone:?}");
        assert_eq!(judged(900_000_000, Some(1)).band, Band::Warning);
        let near = judged(1_300_000_000, Some(1));
        assert!(near.band == Band::Critical && near.hint.is_some_and(|hint| hint.contains("VACUUM FREEZE in d")));
    }

    fn idle() -> Health {
        let oldest = Wraparound { database: "d".into(), age: 0 };
        Health {
            connections: Some(1),
            max_connections: 100,
            size: 1,
            active: Some(Vec::new()),
            idle_in_transaction: Some(Vec::new()),
            transaction_ids: oldest.clone(),
            multixacts: oldest,
            freeze_max_age: 200_000_000,
            autovacuum_workers: Some(0),
            recovery: None,
            standbys: Some(Vec::new()),
            prepared: (0, None),
            slots: Vec::new(),
        }
    }

    #[test]
    fn what_a_role_may_not_see_is_not_none() {
        assert_eq!(sessions("x", &example(), None, (&Bands::below(1.0, 2.0), "q"))[0].band, Band::Unknown);
    }
}
