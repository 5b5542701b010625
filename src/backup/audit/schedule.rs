//! A slot without a set: what a schedule promised and nobody made.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Audit, Promise};
use crate::{
    adapters::ledger::{LEDGER_FILE, Ledger, LedgerError, RunRow},
    model::{
        audit::{Area, Finding, SeriesPart, Severity},
        failure::chain,
        slots::{self, SlotLine, SlotRules, Stands},
        units::count,
    },
};

/// As many runs of a job are looked through for why a slot has no set.
const RUNS: u32 = 10_000;

impl Audit<'_> {
    /// Adds the series' slots, and a finding for each gap.
    pub(super) fn schedule(&mut self, part: &mut SeriesPart) {
        let Some(promise) = self.promise(&part.series).cloned() else { return };
        let stands = stands(part);
        if stands.is_empty() {
            let subject = format!("series {}", part.series);
            let problem = format!("has no set at all, though the job {} is there to make them", promise.job);
            let finding = Finding::new(Severity::Policy, Area::Schedule, subject, problem);
            self.findings.push(finding.remedy(format!("make the first: maint run {}", promise.job)));
        }
        let Some(schedule) = &promise.schedule else { return };
        let Some(from) = stands.iter().filter_map(|s| s.slot.or(s.started)).min() else { return };
        let rules = SlotRules {
            schedule,
            period: promise.period,
            zone: promise.zone,
            grace: TimeDelta::from_std(promise.timeout).unwrap_or(TimeDelta::MAX),
        };
        let (lines, cut) = slots::compare(&rules, from, self.now, &stands);
        if cut {
            let left_out = format!("slots of {} before the newest {}", part.series, slots::MOST_SLOTS);
            self.scope.left_out.push(left_out);
        }
        let gaps = slots::gaps(&lines);
        let attempts = if gaps.is_empty() { BTreeMap::new() } else { self.attempts(&promise) };
        for gap in gaps {
            self.findings.push(finding(&promise, gap, &attempts));
        }
        part.slots = lines;
    }

    /// How the newest run for each slot ended. The ledger only explains: sets are the truth about sets.
    fn attempts(&mut self, promise: &Promise) -> BTreeMap<DateTime<Utc>, RunRow> {
        let state_dir = &self.request.stack.state_dir;
        if !state_dir.join(LEDGER_FILE).exists() {
            return BTreeMap::new();
        }
        let read = || Ledger::open(state_dir)?.runs(Some(&promise.job), RUNS);
        match read() {
            Ok(runs) => {
                let slot = |run: RunRow| Some((run.slot.as_ref()?.parse().ok()?, run));
                // Newest first, so that the newest of a slot is the one that stays.
                runs.into_iter().rev().filter_map(slot).collect()
            }
            Err(error) => {
                let error: LedgerError = error;
                self.scope.left_out.push(format!("why slots have no set: {}", chain(&error)));
                BTreeMap::new()
            }
        }
    }
}

/// Sets and tombstones that a slot can be held against.
fn stands(part: &SeriesPart) -> Vec<Stands> {
    let sets = part.sets.iter().map(|set| Stands {
        set: set.set.clone(),
        period: set.period.clone(),
        slot: set.facts.as_ref().and_then(|f| f.slot),
        started: set.facts.as_ref().map(|f| f.started),
        pruned: false,
    });
    let pruned = part.pruned.iter().map(|pruned| Stands {
        set: format!("{}/{}", part.series, pruned.set),
        period: pruned.period.clone(),
        slot: pruned.slot,
        started: Some(pruned.started),
        pruned: true,
    });
    sets.chain(pruned).collect()
}

fn finding(promise: &Promise, gap: &[SlotLine], attempts: &BTreeMap<DateTime<Utc>, RunRow>) -> Finding {
    let time = |line: &SlotLine| line.at.with_timezone(&promise.zone).format("%Y-%m-%d %H:%M %Z").to_string();
    let which = match gap {
        [] => String::new(),
        [only] => format!("the slot {} has no set", time(only)),
        [first, .., last] => {
            format!("{} from {} to {} have no set", count(gap.len() as u64, "slot"), time(first), time(last))
        }
    };
    let run = gap.iter().rev().find_map(|line| attempts.get(&line.at));
    let (why, remedy) = match run {
        None => (
            ": no run was recorded for it".to_owned(),
            "find out why nothing started it, and note it for the auditor".into(),
        ),
        Some(run) => {
            let ended = run.outcome.as_ref().map_or_else(|| "did not end".to_owned(), ToString::to_string);
            (format!(": the last run for it: {ended}"), format!("see why: maint runs show {}", run.id))
        }
    };
    let subject = format!("series {}", promise.series);
    Finding::new(Severity::Policy, Area::Schedule, subject, which + &why).remedy(remedy)
}
