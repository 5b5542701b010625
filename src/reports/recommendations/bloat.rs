//! Tables and indexes that are mostly air.

use super::AdviceRequest;
use crate::{
    adapters::postgres::{
        PostgresError, Session,
        upkeep::{self, Estimated, Kind},
    },
    model::{
        finding::{Finding, Unit},
        reports::advice::Area,
        units::ByteSize,
    },
};

/// As many are named.
const SHOWN: usize = 10;

pub(super) async fn look(request: &AdviceRequest<'_>, session: &Session) -> Result<Area, PostgresError> {
    let mut all = upkeep::estimated_tables(session, request.least_bloat).await?;
    all.extend(upkeep::estimated_indexes(session, request.least_bloat).await?);
    let estimate = |one: &Estimated| match one.kind {
        Kind::Table => one.facts.of_table(),
        Kind::Index => one.facts.of_index(),
    };
    let seen = all.iter().filter(|one| !one.system).count();
    let known = all.iter().filter(|one| !one.system).filter_map(|one| Some((one, estimate(one)?)));
    let mut known: Vec<_> = known.collect();
    let unknown = seen - known.len();
    known.retain(|(_, bloat)| bloat.percent > request.bloat);
    known.sort_by(|a, b| b.1.bytes.total_cmp(&a.1.bytes));
    let finding = |(one, bloat): &(&Estimated, crate::model::bloat::Bloat)| {
        let (name, quoted) = (one.name.to_string(), one.name.quoted());
        let bytes: u64 = format!("{:.0}", bloat.bytes).parse().unwrap_or(0);
        let mut told = format!("about {:.0} % of {} is air", bloat.percent, ByteSize(one.bytes));
        told += &format!(": {} that a rebuild would give back", ByteSize(bytes));
        if one.changed > 20.0 {
            told += &format!(" (an estimate: {:.0} % of its rows changed since its statistics were made)", one.changed);
        }
        let hint = match one.kind {
            Kind::Table => format!(
                "VACUUM (VERBOSE, ANALYZE) {quoted}; makes room for new rows; pg_repack --no-order -t '{name}' -d {} gives it back \
                 to the disk",
                request.database
            ),
            Kind::Index => format!("REINDEX INDEX CONCURRENTLY {quoted};"),
        };
        let what = match one.kind {
            Kind::Table => "table",
            Kind::Index => "index",
        };
        Finding::warning(format!("{what} {name}"), told)
            .value(bloat.percent, Unit::Percent)
            .source("an estimate from pg_class and pg_stats")
            .hint(hint)
    };
    let mut looked = format!(
        "{seen} tables and indexes of at least {} that may be more than {} % air",
        ByteSize(request.least_bloat),
        request.bloat
    );
    if unknown > 0 {
        looked += &format!("; of {unknown} of them the statistics do not tell (ANALYZE)");
    }
    Ok(Area::new("Bloat", looked, known.iter().take(SHOWN).map(finding).collect()))
}
