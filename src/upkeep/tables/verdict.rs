//! What became of each table: done where the server's own count moved, else not, and why.

use std::{collections::BTreeMap, time::Duration};

use super::{
    TablesRequest, Work,
    work::{End, Tried},
};
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        upkeep::{self, Counters, Holder, Upkept},
    },
    model::{
        contents::quoted,
        finding::{Finding, Unit},
        units::{ByteSize, Elapsed, count},
    },
    upkeep::Done,
};

/// Counters of tables by oid.
pub(super) type Count = BTreeMap<u32, Counters>;

/// `pg_statistic`, which holds the statistics and has none of its own.
pub(super) const PG_STATISTIC: u32 = 2619;
/// How many tables that were left undone are told one by one.
const TOLD: usize = 50;
/// How many of the slowest are told.
const SLOWEST: usize = 5;

/// Whether the counters say that it was done.
pub(super) fn moved(work: Work, table: &Upkept, before: &Count, after: &Count) -> bool {
    let zero = Counters::default();
    let (before, after) = (before.get(&table.oid).unwrap_or(&zero), after.get(&table.oid).unwrap_or(&zero));
    let vacuumed = after.vacuumed > before.vacuumed;
    let analysed = after.analysed > before.analysed || table.oid == PG_STATISTIC;
    match work {
        Work::Vacuum { .. } if table.partitioned => analysed,
        Work::Vacuum { analyze } => vacuumed && (analysed || !analyze),
        Work::Analyze { .. } => analysed,
    }
}

/// What was done, and what not.
#[derive(Default)]
pub(super) struct Judged {
    done: Vec<Tried>,
    undone: Vec<Finding>,
    /// Tables of the system that the role may not work on, and what the server said of the first.
    system: Vec<String>,
    /// Whether the server does not count at all.
    uncounted: bool,
}

/// Compares what the server said with what it counted.
pub(super) async fn judge(
    watcher: &Session,
    request: &TablesRequest<'_>,
    results: Vec<Tried>,
    before: Option<&Count>,
    after: Option<&Count>,
) -> Result<Judged, PostgresError> {
    let mut judged = Judged { uncounted: before.is_none() || after.is_none(), ..Judged::default() };
    for tried in results {
        let counted = match (before, after) {
            (Some(before), Some(after)) => Some(moved(request.work, &tried.table, before, after)),
            _ => None,
        };
        let undone = match (&tried.end, counted) {
            (End::Gone, _) => continue,
            (End::Well, Some(true) | None) => None,
            (End::Well, Some(false)) if !upkeep::table_exists(watcher, tried.table.oid).await? => continue,
            (End::Well, Some(false)) if tried.table.system => {
                judged.system.push(said(&tried));
                continue;
            }
            (End::Well, Some(false)) => Some(silent(request, &tried)),
            (End::Locked(holders), _) => Some(locked(request, &tried, holders)),
            (End::Refused(why), _) => Some(refused(request, &tried, why)),
        };
        match undone {
            None => judged.done.push(tried),
            Some(finding) => judged.undone.push(finding),
        }
    }
    Ok(judged)
}

fn verb(request: &TablesRequest<'_>, table: &Upkept) -> &'static str {
    match request.work {
        Work::Vacuum { analyze: true } if !table.partitioned => "VACUUM (ANALYZE)",
        Work::Vacuum { analyze: false } if !table.partitioned => "VACUUM",
        _ => "ANALYZE",
    }
}

fn said(tried: &Tried) -> String {
    if tried.warnings.is_empty() { "the server did not say why".into() } else { tried.warnings.join("; ") }
}

/// No error, and nothing done.
fn silent(request: &TablesRequest<'_>, tried: &Tried) -> Finding {
    let verb = verb(request, &tried.table);
    let role = &request.server.user;
    Finding::critical(tried.table.name.to_string(), format!("not done: {}", said(tried)))
        .source(format!("{verb} {}", tried.table.name.quoted()))
        .hint(format!(
            "let its owner or a superuser do it, e.g. GRANT its owner TO {role}; on PostgreSQL 17: {}",
            request.server.psql(
                request.database,
                &[&format!("GRANT MAINTAIN ON {} TO {}", tried.table.name.quoted(), quoted(role))]
            )
        ))
}

fn locked(request: &TablesRequest<'_>, tried: &Tried, holders: &[Holder]) -> Finding {
    let by = match holders.first() {
        Some(holder) => format!(", by {holder}"),
        None => String::new(),
    };
    let waited = Elapsed(request.lock_timeout);
    let hint = holders.first().map_or_else(
        || "it is tried again at the next run".to_owned(),
        |holder| {
            let end = request.server.psql(request.database, &[&holder.remedy()]);
            format!("it is tried again at the next run; to end what holds it: {end}")
        },
    );
    Finding::warning(tried.table.name.to_string(), format!("not done: it was still locked after {waited}{by}"))
        .source(format!("{} {}", verb(request, &tried.table), tried.table.name.quoted()))
        .hint(hint)
}

fn refused(request: &TablesRequest<'_>, tried: &Tried, why: &str) -> Finding {
    Finding::critical(tried.table.name.to_string(), format!("not done: {why}"))
        .source(format!("{} {}", verb(request, &tried.table), tried.table.name.quoted()))
        .hint("see the server's log")
}

/// The report: one finding for all that is done, the slowest of it, and everything that is not.
pub(super) fn report(request: &TablesRequest<'_>, judged: Judged, listed: usize, took: Duration) -> Done {
    let Judged { mut done, undone, system, uncounted } = judged;
    let word = match request.work {
        Work::Vacuum { analyze: true } => "vacuumed and analysed",
        Work::Vacuum { analyze: false } => "vacuumed",
        Work::Analyze { .. } => "analysed",
    };
    let tables = |n: usize| count(u64::try_from(n).unwrap_or(u64::MAX), "table");
    let bytes: u64 = done.iter().map(|tried| tried.table.bytes).sum();
    let mut summary =
        format!("{} of {} {word}, {}, in {}", tables(done.len()), request.database, ByteSize(bytes), Elapsed(took));
    let left = undone.len() + system.len();
    if left > 0 {
        summary += &format!("; {left} not done");
    }
    let recent = listed.saturating_sub(done.len() + left);
    if matches!(request.work, Work::Analyze { since: Some(_) }) && recent > 0 {
        summary += &format!("; {} had been in this run already", tables(recent));
    }
    let mut findings = vec![Finding::good(format!("{} tables", request.database), &summary)];
    done.sort_by_key(|tried| std::cmp::Reverse(tried.took));
    for tried in done.iter().take(SLOWEST).filter(|tried| tried.took > Duration::from_secs(1)) {
        let seen = format!("{word} in {}, {}", Elapsed(tried.took), ByteSize(tried.table.bytes));
        findings.push(Finding::good(tried.table.name.to_string(), seen).value(tried.took.as_secs_f64(), Unit::Seconds));
    }
    if uncounted {
        let why = "nobody can prove it: the server does not count what is done to tables, track_counts is off";
        let hint = "set track_counts = on in postgresql.conf; autovacuum needs it too";
        findings.push(Finding::unknown(format!("{} counters", request.database), why).hint(hint));
    }
    if let Some(first) = system.first() {
        let seen = format!("{} of the system not done, the first: {first}", tables(system.len()));
        let hint = "let a superuser or the database's owner do it; autovacuum does what is most needed";
        findings.push(Finding::warning(format!("{} catalogues", request.database), seen).hint(hint));
    }
    let more = undone.len().saturating_sub(TOLD);
    findings.extend(undone.into_iter().take(TOLD));
    if more > 0 {
        findings.push(Finding::critical("further tables", format!("{more} more not done")));
    }
    Done { summary, findings, changed: !done.is_empty() }
}
