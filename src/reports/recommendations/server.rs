//! The cache, and settings that nobody should have.

use super::AdviceRequest;
use crate::{
    adapters::{
        host,
        postgres::{
            PostgresError, Session,
            tuning::{self, Setting, Traffic},
        },
    },
    model::{
        failure::chain,
        finding::{Band, Finding, Unit},
        reports::advice::Area,
        stack::{PostgresAddress, PostgresServer},
        units::ByteSize,
    },
};

/// Fewer blocks than this say nothing of the cache: 1 GB.
const ENOUGH_BLOCKS: i64 = 131_072;
const MIB: u64 = 1 << 20;

/// Settings that lose or corrupt data, or make the database slower every day: the value that is wrong, how bad, and why.
const WRONG: &[(&str, &str, &str, Band, &str)] = &[
    ("fsync", "off", "on", Band::Critical, "a crash of the host can destroy the whole cluster"),
    ("full_page_writes", "off", "on", Band::Critical, "a crash of the host can leave torn pages that nothing repairs"),
    ("synchronous_commit", "off", "on", Band::Warning, "a crash loses the newest commits that clients were told of"),
    ("autovacuum", "off", "on", Band::Critical, "tables only grow, and in the end the server refuses to write"),
    ("track_counts", "off", "on", Band::Critical, "autovacuum does not know what changed, and never comes"),
    ("track_activities", "off", "on", Band::Warning, "nobody can see what the server is doing"),
    ("enable_indexscan", "off", "on", Band::Warning, "queries do not use indexes"),
    ("enable_hashjoin", "off", "on", Band::Warning, "joins take ways that are slower"),
    ("zero_damaged_pages", "on", "off", Band::Critical, "damaged pages are emptied instead of reported"),
    ("ignore_system_indexes", "on", "off", Band::Warning, "every lookup in the catalogue reads whole tables"),
];

fn change(setting: &Setting, value: &str) -> String {
    let name = &setting.name;
    let then = if setting.restart { "then restart the server" } else { "SELECT pg_reload_conf();" };
    match setting.source.as_str() {
        "command line" => {
            format!(
                "-c {name}={value} instead of -c {name}={} on the server's command line, and restart it",
                setting.value
            )
        }
        "database" | "user" | "database user" => {
            format!("it is set for this database or role: ALTER DATABASE … RESET {name}; or ALTER ROLE … RESET {name};")
        }
        _ => format!("ALTER SYSTEM SET {name} = '{value}'; {then}"),
    }
}

pub(super) async fn settings(session: &Session, traffic: &Traffic) -> Result<Area, PostgresError> {
    let names: Vec<&str> = WRONG.iter().map(|wrong| wrong.0).chain(["max_wal_size", "work_mem"]).collect();
    let settings = tuning::settings(session, &names).await?;
    let of = |name: &str| settings.iter().find(|setting| setting.name == name);
    let mut findings = Vec::new();
    for (name, wrong, right, band, why) in WRONG {
        if let Some(setting) = of(name).filter(|setting| setting.value == *wrong) {
            let seen = format!("{name} = {wrong} (from: {}): {why}", setting.source);
            findings.push(Finding::new(*band, *name, seen).source("pg_settings").hint(change(setting, right)));
        }
    }
    findings.extend(of("max_wal_size").and_then(|setting| forced(setting, traffic)));
    let looked =
        format!("{}, and how many checkpoints WAL forced", WRONG.iter().map(|w| w.0).collect::<Vec<_>>().join(", "));
    Ok(Area::new("Settings", looked, findings))
}

/// Checkpoints that came because there was much WAL. Those that somebody asked for are counted with them, but have little of it.
fn forced(setting: &Setting, traffic: &Traffic) -> Option<Finding> {
    let (asked, timed, limit) = (traffic.checkpoints_asked, traffic.checkpoints_timed, setting.number?);
    // One comes before the limit is reached, so that it ends in time; a third of it is the least.
    let by_wal = traffic.wal / asked.max(1) >= limit / 3;
    if asked <= 100 || asked <= timed || !by_wal {
        return None;
    }
    let all = asked + timed;
    let seen = format!(
        "{asked} of {all} checkpoints came because there was more WAL than max_wal_size = {} allows",
        setting.value
    );
    let hint = change(setting, &format!("{}MB", 2 * limit / 1_048_576));
    Some(Finding::warning("max_wal_size", seen).source("pg_stat_bgwriter, pg_stat_wal").hint(hint))
}

pub(super) async fn cache(
    request: &AdviceRequest<'_>,
    server: &PostgresServer,
    session: &Session,
    traffic: &Traffic,
) -> Area {
    const TITLE: &str = "Cache";
    let blocks = traffic.hit + traffic.read;
    let looked =
        format!("whether at least {} % of the blocks that queries need are in shared_buffers", request.cache_hit);
    if blocks < ENOUGH_BLOCKS {
        let looked =
            format!("{looked}: too few were needed to say ({blocks} since {})", traffic.since.format("%Y-%m-%d"));
        return Area::new(TITLE, looked, Vec::new());
    }
    let percent = 100.0 * traffic.hit as f64 / blocks as f64;
    if percent >= request.cache_hit {
        return Area::new(TITLE, format!("{looked}: {percent:.2} % are"), Vec::new());
    }
    let settings = match tuning::settings(session, &["shared_buffers"]).await {
        Ok(settings) => settings,
        Err(error) => return Area::unknown(TITLE, chain(&error)),
    };
    let Some(buffers) = settings.first() else {
        return Area::unknown(TITLE, "the server does not tell shared_buffers");
    };
    let now = buffers.number.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
    let size = u64::try_from(traffic.bytes).unwrap_or(0);
    // A quarter of the memory is the manual's advice (§20.4.1); more than the database needs is of no use.
    let here = matches!(server.address, PostgresAddress::Socket { .. } | PostgresAddress::Container { .. });
    let quarter = here.then(|| host::memory() / 4);
    let wanted = quarter.map(|quarter| quarter.min(size + size / 10).max(now));
    let hint = match wanted {
        Some(wanted) if wanted > now + now / 10 => change(buffers, &format!("{}MB", wanted / MIB)),
        Some(_) => {
            "shared_buffers is as large as it should be here: the statements that read most are what is left to mend"
                .to_owned()
        }
        None => change(buffers, "a quarter of that host's memory"),
    };
    let seen = format!(
        "{percent:.2} % of {blocks} blocks came from shared_buffers ({}), the database has {}",
        buffers.value,
        ByteSize(size)
    );
    let finding =
        Finding::warning("cache hit ratio", seen).value(percent, Unit::Percent).source("pg_stat_database").hint(hint);
    Area::new(TITLE, looked, vec![finding])
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn only_checkpoints_with_much_wal_speak_of_it() {
        const GB: i64 = 1 << 30;
        let setting = Setting {
            name: "max_wal_size".into(),
            value: "1GB".into(),
            number: Some(GB),
            source: "default".into(),
            restart: false,
        };
        let of = |checkpoints_asked, wal| Traffic {
            since: DateTime::UNIX_EPOCH,
            hit: 0,
            read: 0,
            bytes: 0,
            checkpoints_timed: 150,
            checkpoints_asked,
            wal,
            standbys: 0,
            in_recovery: false,
        };
        let found = forced(&setting, &of(200, 100 * GB)).unwrap();
        assert_eq!(found.hint.as_deref(), Some("ALTER SYSTEM SET max_wal_size = '2048MB'; SELECT pg_reload_conf();"));
        assert_eq!(forced(&setting, &of(200, GB)), None, "backups ask for checkpoints too");
        assert_eq!(forced(&setting, &of(100, 200 * GB)), None, "few");
    }
}
