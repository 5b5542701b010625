//! How large the database and its largest tables are, and how much of tables and indexes is air.

use chrono::{DateTime, Utc};

use super::{Done, UpkeepError};
use crate::{
    adapters::{
        clock,
        postgres::{
            PostgresError, Session,
            upkeep::{self, Estimated, Kind},
        },
    },
    model::{
        bloat::Bloat,
        finding::{Band, Finding, Unit},
        stack::{Docker, PostgresServer},
        units::{ByteSize, age},
    },
};

/// Statistics older than this, of a table that changes, are told as old.
const OLD_DAYS: i64 = 14;
/// The share of changed rows, in percent, from which on statistics are old whatever their age.
const CHANGED_PERCENT: f64 = 20.0;
/// How long pgstattuple may read a table.
const MEASURED_WITHIN: &str = "SET statement_timeout = '60s'";

/// What to look at.
pub struct BloatRequest<'a> {
    /// The server.
    pub server: &'a PostgresServer,
    /// The engine, where the server runs in a container.
    pub docker: &'a Docker,
    /// The database.
    pub database: &'a str,
    /// How many tables, and how many indexes.
    pub top: u32,
    /// Only what is at least this large is estimated, in bytes.
    pub min_size: u64,
    /// The share of air from which on it is a warning, in percent.
    pub warn: f64,
    /// How many tables are measured by pgstattuple, where it is installed.
    pub measure: u32,
}

/// Looks.
///
/// # Errors
/// When the server cannot be reached or is lost.
pub async fn look(request: &BloatRequest<'_>) -> Result<Done, UpkeepError> {
    let session = Session::connect(request.server, request.docker, request.database, "maint bloat").await?;
    let size = upkeep::size_of_database(&session).await?;
    let seen = ByteSize(size).to_string();
    let mut findings = vec![Finding::good(format!("{} size", request.database), seen).value(size as f64, Unit::Bytes)];
    for table in upkeep::largest(&session, request.top).await? {
        let subject = format!("{} size", table.name);
        findings.push(match table.bytes {
            Some(bytes) => {
                Finding::good(subject, format!("{} with its indexes", ByteSize(bytes))).value(bytes as f64, Unit::Bytes)
            }
            None => Finding::unknown(subject, "the table is locked exclusively; nobody can look at it")
                .hint("see who holds it in pg_locks, and run the step again"),
        });
    }
    let tables = upkeep::estimated_tables(&session, request.min_size).await?;
    let indexes = upkeep::estimated_indexes(&session, request.min_size).await?;
    let (mut air, mut measured) = (0.0, 0);
    session.batch("setting up the session", MEASURED_WITHIN).await?;
    for found in [ranked(tables, request.top), ranked(indexes, request.top)].concat() {
        air += found.1.map_or(0.0, |bloat| bloat.bytes);
        let mut finding = judged(request, &found.0, found.1, clock::now());
        if found.0.kind == Kind::Table && measured < request.measure && !found.0.system {
            measured += 1;
            finding = measure(&session, &found.0, finding).await?;
        }
        findings.push(finding);
    }
    session.close().await;
    let air: u64 = format!("{air:.0}").parse().unwrap_or(0);
    let summary = format!(
        "{} has {}, of which about {} is air in its {} most bloated tables and indexes",
        request.database,
        ByteSize(size),
        ByteSize(air),
        request.top
    );
    Ok(Done { summary, findings, changed: false })
}

/// Those with most air first; what cannot be estimated comes last.
fn ranked(all: Vec<Estimated>, top: u32) -> Vec<(Estimated, Option<Bloat>)> {
    let estimate = |one: &Estimated| match one.kind {
        Kind::Table => one.facts.of_table(),
        Kind::Index => one.facts.of_index(),
    };
    let mut ranked: Vec<_> = all.into_iter().filter(|one| !one.system).map(|one| (estimate(&one), one)).collect();
    let air = |bloat: &Option<Bloat>| bloat.map_or(-1.0, |bloat| bloat.bytes);
    ranked.sort_by(|a, b| air(&b.0).total_cmp(&air(&a.0)));
    ranked.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    ranked.into_iter().map(|(bloat, one)| (one, bloat)).collect()
}

/// Why an estimate is not to be trusted, where it is not.
fn doubt(found: &Estimated, now: DateTime<Utc>) -> Option<String> {
    let Some(analysed) = found.analysed else { return Some("never analysed".into()) };
    if found.changed > CHANGED_PERCENT {
        return Some(format!("{:.0} % of its rows changed since it was analysed", found.changed));
    }
    let old = now - analysed;
    (old.num_days() >= OLD_DAYS && found.changed > 0.0).then(|| format!("statistics of {} ago", age(old)))
}

fn judged(request: &BloatRequest<'_>, found: &Estimated, bloat: Option<Bloat>, now: DateTime<Utc>) -> Finding {
    let subject = format!("{} bloat", found.name);
    let doubt = doubt(found, now);
    let Some(bloat) = bloat else {
        let why = doubt.unwrap_or_else(|| "its statistics do not tell".to_owned());
        return Finding::unknown(subject, format!("{}, cannot be estimated: {why}", ByteSize(found.bytes))).hint(
            format!(
                "as a role that may read it: {}",
                request.server.psql(request.database, &[&format!("ANALYZE {}", found.table.0.quoted())])
            ),
        );
    };
    let mut seen = format!("about {:.0} % of {}", bloat.percent, ByteSize(found.bytes));
    let band = match (&doubt, bloat.percent > request.warn) {
        (_, false) => Band::Good,
        (Some(_), true) | (None, true) => Band::Warning,
    };
    if let Some(doubt) = doubt {
        seen += &format!(" ({doubt})");
    }
    let hint = match found.kind {
        Kind::Table => "VACUUM makes room for new rows; pg_repack gives it back to the disk without locking the table",
        Kind::Index => "a `reindex` step rebuilds it; see its min_bloat and min_size",
    };
    Finding::new(band, subject, seen).value(bloat.percent, Unit::Percent).hint(hint)
}

async fn measure(session: &Session, found: &Estimated, finding: Finding) -> Result<Finding, PostgresError> {
    Ok(match upkeep::measured_bloat(session, found.oid).await? {
        Some(percent) => {
            let seen = format!("{}; measured: {percent:.0} % dead or free", finding.seen);
            Finding { seen, ..finding }
        }
        None => finding,
    })
}
