//! `backup_freshness`: has every slot that was due its verified set, and its copies?

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{late, listed, summary, unasked};
use crate::{
    adapters::{clock, signature::Trust, store::Store},
    backup::{
        copies,
        freshness::{self, Fresh, Newest},
    },
    model::{
        failure::{Diagnose, chain},
        finding::{Finding, Unit},
        roster::{BackupFacts, JobFacts},
        slots::SlotState,
        span::Span,
        stack::Stack,
        units::{ByteSize, age},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const SINCE: Duration = Duration::from_secs(36 * 3600);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Backups of late: a set for every slot that was due, verified as far as its job promises, and copies of the newest in each
/// store. Nothing is read to its end; `maint audit` does that.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupFreshness {
    /// Which series. Default: those of all backup jobs with a schedule.
    #[serde(default)]
    series: Option<Vec<String>>,
    /// How far back slots are looked for; the newest that passed is always looked for. Default: `36h`.
    #[serde(default)]
    since: Option<Span>,
    /// How long a store may take to answer. Default: `10s`.
    #[serde(default)]
    timeout: Option<Span>,
}

impl StepKind for BackupFreshness {
    const SUMMARY: &'static str = "Looks for the set of every slot that was due, and for its copies";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let nothing = self.series.as_ref().is_some_and(Vec::is_empty);
        nothing.then(|| Problem { key: "series", message: "nothing is looked at".into() }).into_iter().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let which = self.series.as_ref().map_or_else(|| "every series with a schedule".to_owned(), listed);
        vec![format!("list the sets of {which} in {}, and the copies of the newest", stack.backup_dir.display())]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let now = clock::now();
        let wanted = |job: &&JobFacts| match (&self.series, &job.backup) {
            (_, None) => false,
            (None, Some(_)) => job.schedule.is_some(),
            (Some(names), Some(backup)) => names.iter().any(|name| name == backup.series.as_str()),
        };
        let jobs: Vec<&JobFacts> = context.jobs.iter().filter(wanted).collect();
        let looked = join_all(jobs.iter().map(|job| self.look(context, job, now))).await;
        let mut findings: Vec<Finding> = looked.into_iter().flatten().collect();
        let there = |name: &&String| {
            jobs.iter().any(|job| job.backup.as_ref().is_some_and(|backup| backup.series.as_str() == name.as_str()))
        };
        let missing = self.series.iter().flatten().filter(|name| !there(name));
        findings.extend(missing.map(|name| Finding::unknown(format!("series {name}"), "no job makes it")));
        if findings.is_empty() {
            findings.push(Finding::warning("backups", "no job with a schedule makes any").hint("see: maint jobs"));
        }
        Ok(StepReport::found(summary("observation", &findings), findings))
    }
}

impl BackupFreshness {
    async fn look(&self, context: &StepContext, job: &JobFacts, now: DateTime<Utc>) -> Vec<Finding> {
        let Some(backup) = job.backup.clone() else { return Vec::new() };
        let subject = format!("series {}", backup.series);
        let stack = &context.stack;
        let since = TimeDelta::from_std(self.since.map_or(SINCE, |span| span.0)).unwrap_or(TimeDelta::MAX);
        let (dir, facts, trust) =
            (stack.backup_dir.join(backup.series.as_str()), job.clone(), stack.sign.trust.clone());
        let read = tokio::task::spawn_blocking({
            let backup = backup.clone();
            move || {
                // Without the keys a tombstone is believed as it stands, and what it says of a set is no green light.
                let trust = trust.and_then(|path| Trust::load(&path).ok());
                let from = now.checked_sub_signed(since).unwrap_or(DateTime::<Utc>::MIN_UTC);
                freshness::look(&dir, &facts, &backup, trust.as_ref(), (from, now))
            }
        });
        match read.await {
            Ok(Ok(fresh)) => {
                let mut findings = judge(job, &backup, &fresh, now);
                findings.extend(self.copies(stack, &backup, fresh.newest.as_ref()).await);
                findings
            }
            Ok(Err(error)) => vec![unasked(subject, &error)],
            Err(error) => vec![Finding::unknown(subject, error.to_string())],
        }
    }

    async fn copies(&self, stack: &Stack, backup: &BackupFacts, newest: Option<&Newest>) -> Vec<Finding> {
        let Some(newest) = newest else { return Vec::new() };
        join_all(backup.stores.iter().map(|store| self.copy(stack, backup, store, &newest.set))).await
    }

    async fn copy(&self, stack: &Stack, backup: &BackupFacts, store: &str, set: &str) -> Finding {
        let series = backup.series.as_str();
        let subject = format!("{series}/{set} in {store}");
        let Some(config) = stack.stores.get(store) else { return Finding::unknown(subject, "it is not configured") };
        let within = self.timeout.map_or(ANSWER_WITHIN, |span| span.0);
        let ask = async {
            let opened = Store::open(config, &stack.state_dir).await?;
            copies::state(&opened, &stack.name, series, set).await
        };
        match tokio::time::timeout(within, ask).await {
            Ok(Ok(state)) if state.is_complete() => {
                let seen = format!("there, {}", ByteSize(state.bytes()));
                Finding::good(subject, seen).value(state.bytes() as f64, Unit::Bytes)
            }
            Ok(Ok(_)) => Finding::critical(subject, "the newest set has no whole copy there")
                .hint(format!("maint upload {series}/{set} --store {store}")),
            Ok(Err(error)) => {
                let finding = Finding::unknown(subject, chain(&error));
                match error.hint() {
                    Some(hint) => finding.hint(hint),
                    None => finding,
                }
            }
            Err(_) => late(subject, within),
        }
    }
}

fn judge(job: &JobFacts, backup: &BackupFacts, fresh: &Fresh, now: DateTime<Utc>) -> Vec<Finding> {
    let subject = format!("series {}", backup.series);
    let run = format!("maint run {}", job.name);
    let Some(newest) = &fresh.newest else {
        return vec![Finding::critical(subject, "has no set at all").hint(format!("make the first: {run}"))];
    };
    let missing: Vec<String> = fresh
        .slots
        .iter()
        .filter(|line| line.state == SlotState::Missing)
        .map(|line| line.at.with_timezone(&job.zone).format("%a %Y-%m-%d %H:%M %Z").to_string())
        .collect();
    let newest_age = (now - newest.sealed).max(TimeDelta::zero());
    let text = format!(
        "newest set {}, {} old, {}, verified to \"{}\"",
        newest.set,
        age(newest_age),
        ByteSize(newest.bytes),
        newest.level
    );
    let finding = match (&newest.damage, missing.as_slice()) {
        (Some(damage), _) => Finding::critical(subject, format!("the newest set is damaged: {damage}"))
            .hint(format!("maint verify {}/{}", backup.series, newest.set)),
        (None, []) if newest.level < backup.verify => {
            let seen = format!("{text}, though the job promises \"{}\"", backup.verify);
            Finding::warning(subject, seen).hint(format!("maint verify {}/{}", backup.series, newest.set))
        }
        (None, []) => Finding::good(subject, text),
        (None, [first, more @ ..]) => {
            let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
            Finding::critical(subject, format!("no set for the slot {first}{more}; {text}"))
                .hint(format!("see why: maint runs --job {}; then: {run}", job.name))
        }
    };
    vec![
        finding
            .value(newest_age.num_seconds() as f64 / 86_400.0, Unit::Days)
            .source("the manifests in the backup directory"),
    ]
}
