//! A job's file to a [`Job`].

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    clocks,
    diagnostic::Mistake,
    document::{Document, nearest, place},
    host,
    job::{BackupPolicy, Job, JobStep, Mode},
    keep,
    shape::{BackupSection, JobFile, StepSection},
};
use crate::{
    adapters::clock,
    model::{
        ids::{JobName, SeriesName},
        manifest::Level,
        schedule::Schedule,
        stack::Stack,
    },
    steps::Step,
};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(3600);
const DEFAULT_RETRIES: u32 = 2;

/// Resolves one job; `None` when its shape is wrong.
pub(super) fn resolve(document: &Document, name: JobName, stack: &Stack, mistakes: &mut Vec<Mistake>) -> Option<Job> {
    let raw: JobFile = document.read(mistakes)?;
    let timezone = match raw.timezone.as_deref() {
        None => stack.timezone,
        Some(zone) => host::zone(document, &place!["timezone"], zone, mistakes),
    };
    let schedule = raw.schedule.as_deref().and_then(|expression| {
        let parsed = Schedule::parse(expression, timezone, raw.dst.unwrap_or_default());
        parsed.map_err(|e| mistakes.push(document.at_path(&place!["schedule"], e.to_string()))).ok()
    });
    mistakes.extend(schedule.iter().flat_map(|schedule| clocks::warnings(document, schedule, clock::now())));
    for (i, lock) in raw.locks.iter().enumerate() {
        if lock.parse::<JobName>().is_err() {
            let message = format!("`{lock}` is not a lock's name: use lower-case letters, digits, `-` and `_`");
            mistakes.push(document.at_path(&place!["locks", i], message));
        }
    }
    if raw.mode == Some(Mode::Checklist) && raw.backup.is_some() {
        let mistake =
            document.at_path(&place!["mode"], "a backup job cannot be a checklist: its steps follow each other");
        mistakes.push(mistake.help("leave `mode` out, or take the checks into a job of their own"));
    }
    check_across_hosts(document, &raw, stack, mistakes);
    check_steps(document, &raw, stack, mistakes);
    check_stores(document, &raw, stack, mistakes);
    let backup = raw.backup.map(|b| backup(document, b, mistakes));
    let steps = raw.step.into_iter().map(|s| JobStep {
        id: s.id,
        timeout: s.timeout.map(|t| t.0),
        retries: s.retries.unwrap_or(DEFAULT_RETRIES),
        on_failure: s.on_failure.unwrap_or_default(),
        step: s.step,
    });
    Some(Job {
        name,
        description: raw.description,
        runbook: raw.runbook,
        schedule,
        timezone,
        timeout: raw.timeout.map_or(DEFAULT_TIMEOUT, |t| t.0),
        overlap: raw.overlap.unwrap_or_default(),
        locks: raw.locks,
        lock_wait: raw.lock_wait.map_or(DEFAULT_LOCK_WAIT, |t| t.0),
        across_hosts: raw.across_hosts,
        backup,
        mode: raw.mode.unwrap_or_default(),
        severity: raw.severity.unwrap_or_default(),
        catch_up: raw.catch_up.map(Into::into).unwrap_or_default(),
        jitter: raw.jitter.map_or(Duration::ZERO, |t| t.0),
        steps: steps.collect(),
    })
}

fn backup(document: &Document, raw: BackupSection, mistakes: &mut Vec<Mistake>) -> BackupPolicy {
    let verify = raw.verify.unwrap_or(Level::Structure);
    let place = place!["backup", "keep"];
    let keep = keep::resolve(document, &place, raw.keep, mistakes);
    if keep.is_some() && verify < Level::Structure {
        let message = format!(
            "retention counts only sets that were verified to \"{}\", and this job makes none",
            Level::Structure
        );
        mistakes.push(document.at_path(&place, message).help("set verify = \"structure\" or \"drill\""));
    }
    BackupPolicy {
        series: raw.series,
        period: raw.period,
        verify,
        if_unverifiable: raw.if_unverifiable.unwrap_or_default(),
        stores: raw.stores,
        keep,
    }
}

fn check_steps(document: &Document, raw: &JobFile, stack: &Stack, mistakes: &mut Vec<Mistake>) {
    if raw.step.is_empty() {
        let mistake = document.at(0, "a job without steps does nothing");
        mistakes
            .push(mistake.help(format!("add [[step]] with an id and do.<kind>; kinds: {}", Step::NAMES.join(", "))));
    }
    for (i, step) in raw.step.iter().enumerate() {
        if raw.step[..i].iter().any(|earlier| earlier.id == step.id) {
            let message = format!("the id `{}` is taken by an earlier step of this job", step.id);
            mistakes.push(document.at_path(&place!["step", i, "id"], message));
        }
        mistakes.extend(looks_back(document, i, step, raw));
        if step.step.captures() && raw.backup.is_none() {
            let message = format!("`{}` captures artifacts, but the job has no [backup] section", step.step.name());
            let mistake = document.at_path(&place!["step", i, "do", step.step.name()], message);
            mistakes.push(
                mistake
                    .help("add [backup] with series and period: what is captured is verified and published as a set"),
            );
        }
        mistakes.extend(problems(document, i, step, stack));
        mistakes.extend(on_failure(document, i, step, raw));
    }
    if raw.backup.is_some() && !raw.step.iter().any(|s| s.step.captures()) {
        mistakes.push(
            document
                .at_path(&place!["backup"], "no step of this job captures anything, so there is nothing to back up"),
        );
    }
}

/// Where a failed step must not, or need not, say what becomes of the others.
fn on_failure(document: &Document, index: usize, step: &StepSection, raw: &JobFile) -> Option<Mistake> {
    step.on_failure?;
    let why = if raw.backup.is_some() {
        "a backup job ends with the first step that fails: a set that lacks a part is no backup"
    } else if raw.mode == Some(Mode::Checklist) {
        "the steps of a checklist do not wait for each other: all of them always run"
    } else {
        return None;
    };
    Some(document.at_path(&place!["step", index, "on_failure"], why).help("leave `on_failure` out"))
}

/// A lock across hosts needs its server.
fn check_across_hosts(document: &Document, raw: &JobFile, stack: &Stack, mistakes: &mut Vec<Mistake>) {
    let Some(name) = raw.across_hosts.as_ref().filter(|name| !stack.postgres.contains_key(*name)) else { return };
    let message = format!("there is no server `{name}`: maint.toml has no [postgres.{name}]");
    let mistake = document.at_path(&place!["across_hosts"], message);
    mistakes.push(match nearest(name, stack.postgres.keys().map(String::as_str)) {
        Some(near) => mistake.help(format!("did you mean `{near}`?")),
        None => mistake.help(format!("add [postgres.{name}] to maint.toml")),
    });
}

/// Stores that are not there, or stand twice.
fn check_stores(document: &Document, raw: &JobFile, stack: &Stack, mistakes: &mut Vec<Mistake>) {
    let Some(backup) = &raw.backup else { return };
    for (i, name) in backup.stores.iter().enumerate() {
        let here = |message: String| document.at_path(&place!["backup", "stores", i], message);
        if !stack.stores.contains_key(name) {
            let mistake = here(format!("there is no store `{name}`: maint.toml has no [store.{name}]"));
            mistakes.push(match nearest(name, stack.stores.keys().map(String::as_str)) {
                Some(near) => mistake.help(format!("did you mean `{near}`?")),
                None => mistake.help(format!("add [store.{name}] to maint.toml")),
            });
        }
        if backup.stores[..i].contains(name) {
            mistakes.push(here(format!("the store `{name}` stands twice; keep one")));
        }
    }
}

fn problems<'a>(
    document: &'a Document,
    index: usize,
    step: &'a StepSection,
    stack: &Stack,
) -> impl Iterator<Item = Mistake> + use<'a> {
    let kind = step.step.name();
    step.step
        .problems(stack)
        .into_iter()
        .map(move |p| document.at_path(&place!["step", index, "do", kind, p.key], p.message))
}

/// A step that tells of the others stands at the end of a checklist: there all of them come to their end, whatever they find.
fn looks_back(document: &Document, index: usize, step: &StepSection, raw: &JobFile) -> Option<Mistake> {
    if !step.step.looks_back() {
        return None;
    }
    let (why, help) = match () {
        () if raw.mode != Some(Mode::Checklist) => (
            "it tells of the steps before it, and in a sequence the first one that fails ends the run without it",
            "set mode = \"checklist\"",
        ),
        () if index == 0 => ("it tells of the steps before it, and there is none", "put the checks before it"),
        () if index + 1 < raw.step.len() => {
            ("it tells of the steps before it, and others follow", "let it be the last")
        }
        () => return None,
    };
    Some(document.at_path(&place!["step", index, "do", step.step.name()], why).help(help))
}

/// Two jobs must not add to one series: who owns the sets would be a matter of luck.
pub(super) fn check_series(jobs: &BTreeMap<JobName, Job>, dir: &Path, mistakes: &mut Vec<Mistake>) {
    let mut owners: BTreeMap<&SeriesName, &JobName> = BTreeMap::new();
    for job in jobs.values() {
        let Some(backup) = &job.backup else { continue };
        if let Some(owner) = owners.insert(&backup.series, &job.name) {
            let message = format!("the series `{}` belongs to the job `{owner}` already", backup.series);
            mistakes.push(Mistake::whole(dir.join(format!("{}.toml", job.name)), message).help("name another series"));
        }
    }
}
