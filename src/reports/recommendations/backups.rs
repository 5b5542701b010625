//! Whether backups take longer and longer, by the ledger's own runs.

use chrono::{DateTime, Utc};

use super::AdviceRequest;
use crate::{
    adapters::ledger::{Ledger, LedgerError, RunRow},
    model::{
        failure::chain,
        finding::{Finding, Unit},
        forecast::robust::theil_sen,
        outcome::Outcome,
        reports::advice::Area,
        roster::JobFacts,
        units::Elapsed,
    },
};

/// So many runs are looked at.
const RUNS: u32 = 60;
/// Fewer say nothing of a trend.
const LEAST_RUNS: usize = 7;
/// Growth below this share of a run's time, over all that is known, is none.
const GROWTH: f64 = 0.25;
/// A run that takes more than this share of its timeout is near it.
const NEAR: f64 = 0.7;

pub(super) fn look(request: &AdviceRequest<'_>) -> Area {
    const TITLE: &str = "Duration of backups";
    let read = || -> Result<Vec<(String, Vec<Finding>)>, LedgerError> {
        let ledger = Ledger::open(&request.stack.state_dir)?;
        let backups = request.jobs.iter().filter(|job| job.backup.is_some());
        backups.map(|job| Ok(of_job(job, &ledger.runs(Some(&job.name), RUNS)?))).collect()
    };
    match read() {
        Ok(jobs) if jobs.is_empty() => Area::new(TITLE, "no job of this host is a backup", Vec::new()),
        Ok(jobs) => {
            let looked = jobs.iter().map(|(looked, _)| looked.as_str()).collect::<Vec<_>>().join("; ");
            Area::new(TITLE, looked, jobs.into_iter().flat_map(|(_, findings)| findings).collect())
        }
        Err(error) => Area::unknown(TITLE, chain(&error)),
    }
}

/// When a run started, in days, and how many seconds it took.
fn duration(run: &RunRow) -> Option<(f64, f64)> {
    if !matches!(run.outcome, Some(Outcome::Ok | Outcome::Changed | Outcome::Warning(_))) {
        return None;
    }
    let started: DateTime<Utc> = run.started.parse().ok()?;
    let ended: DateTime<Utc> = run.ended.as_ref()?.parse().ok()?;
    Some((started.timestamp() as f64 / 86_400.0, (ended - started).num_milliseconds() as f64 / 1000.0))
}

fn of_job(job: &JobFacts, runs: &[RunRow]) -> (String, Vec<Finding>) {
    let name = &job.name;
    let mut points: Vec<_> = runs.iter().filter_map(duration).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(first), Some(last)) = (points.first().copied(), points.last().copied()) else {
        return (format!("{name}: no run went well yet"), Vec::new());
    };
    let show = |seconds: f64| {
        let duration = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default();
        Elapsed(duration).to_string()
    };
    let looked = format!("{name}: {} runs that went well, the newest took {}", points.len(), show(last.1));
    let mut findings = Vec::new();
    let timeout = job.timeout.as_secs_f64();
    if last.1 > timeout * NEAR {
        let seen = format!("the newest run took {}, and is ended after {}", show(last.1), show(timeout));
        let hint =
            format!("give it more time: timeout = \"{}h\" in jobs/{name}.toml", (job.timeout.as_secs() / 1800).max(1));
        findings.push(
            Finding::warning(name.to_string(), seen).value(last.1, Unit::Seconds).source("the ledger").hint(hint),
        );
    }
    let slope =
        theil_sen(&points).filter(|_| points.len() >= LEAST_RUNS).filter(|slope| slope.is_sure() && slope.value > 0.0);
    if let Some(slope) = slope {
        let grown = slope.value * (last.0 - first.0);
        let begun = (last.1 - grown).max(0.001);
        if grown / begun > GROWTH && grown > 1.0 {
            let seen = format!(
                "takes {} longer a day: {} more over {} runs ({} now, ended after {})",
                show(slope.value),
                show(grown),
                points.len(),
                show(last.1),
                show(timeout)
            );
            let hint = format!("maint runs --job {name} --limit {RUNS}; and see what grew: maint backups");
            findings.push(
                Finding::warning(name.to_string(), seen).value(last.1, Unit::Seconds).source("the ledger").hint(hint),
            );
        }
    }
    (looked, findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobFacts {
        JobFacts {
            name: "nightly".parse().unwrap(),
            schedule: None,
            zone: chrono_tz::UTC,
            timeout: std::time::Duration::from_secs(3600),
            severity: crate::model::severity::Severity::default(),
            backup: None,
        }
    }

    fn runs(n: i64, seconds: impl Fn(i64) -> i64) -> Vec<RunRow> {
        let start: DateTime<Utc> = "2026-10-01T00:00:00Z".parse().unwrap();
        let run = |day: i64| {
            let started = start + chrono::TimeDelta::days(day);
            RunRow {
                id: day.to_string(),
                job: "nightly".into(),
                trigger: "timer".into(),
                slot: None,
                attempt: 1,
                started: started.to_rfc3339(),
                ended: Some((started + chrono::TimeDelta::seconds(seconds(day))).to_rfc3339()),
                outcome: Some(Outcome::Ok),
                hint: None,
                pid: 1,
                set_path: None,
                set_level: None,
            }
        };
        (0..n).map(run).collect()
    }

    #[test]
    fn only_what_grows_is_told() {
        assert_eq!(of_job(&job(), &runs(30, |day| 600 + (day * 7919) % 13)).1, []);
        assert_eq!(of_job(&job(), &runs(5, |day| 600 + 100 * day)).1, [], "five runs are no trend");
        assert_eq!(of_job(&job(), &[]).1, []);
        let grows = of_job(&job(), &runs(30, |day| 600 + 20 * day)).1;
        assert!(grows.len() == 1 && grows[0].seen.contains("takes 20.0 s longer a day"), "{grows:?}");
        let near = of_job(&job(), &runs(1, |_| 3000)).1;
        assert!(near.len() == 1 && near[0].seen.contains("is ended after 1 h 00 min"), "{near:?}");
    }
}
