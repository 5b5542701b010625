//! What the policy lets go and is still there, what it keeps and is gone, and what stands in its way.

use std::collections::BTreeMap;

use super::{Audit, Promise};
use crate::{
    backup::retention::{Pruning, RetentionError, Series},
    model::{
        audit::{Area, Finding, Mark, SeriesPart, SetPart, Severity},
        failure::{Class, Diagnose, chain},
        manifest::Level,
        retention::{Candidate, Keep, Reason, Standing, plan},
        units::count,
    },
};

/// What a tombstone is called beside a set of its name, which no set's name begins with.
const BURIED: &str = "†";

impl Audit<'_> {
    /// Adds what is not as the series' policy wants it here. Blocking.
    pub(super) fn retention(&mut self, part: &SeriesPart) {
        let Some(promise) = self.promise(&part.series).cloned() else { return };
        let Some(keep) = &promise.keep else { return };
        if !self.series_dir(&part.series).is_dir() {
            return;
        }
        let planned = self.series(&promise).plan(keep, self.now, &held(part, &promise));
        if self.overdue(&format!("series {}", part.series), planned) {
            self.lost(part, &promise, keep);
        }
    }

    /// The series as pruning sees it.
    pub(super) fn series<'s>(&'s self, promise: &'s Promise) -> Series<'s> {
        let dir = self.series_dir(&promise.series);
        Series { name: &promise.series, dir, zone: promise.zone, trust: self.trust.as_ref(), signer: None }
    }

    /// What should be gone from a place. A freeze says so by itself, and what waits for it is no second finding. Gives
    /// whether there was a plan.
    pub(super) fn overdue(&mut self, subject: &str, planned: Result<Pruning, RetentionError>) -> bool {
        let pruning = match planned {
            Ok(pruning) => pruning,
            Err(error) => {
                let severity = match error.class() {
                    Class::Unverifiable | Class::Retryable => Severity::Unchecked,
                    _ => Severity::Policy,
                };
                let finding = Finding::new(severity, Area::Retention, subject, chain(&error));
                self.findings.push(finding.remedy(error.hint().unwrap_or_default()));
                return false;
            }
        };
        let prune = format!("maint prune --series {}", pruning.series);
        if let Some(problem) = pruning.freeze() {
            let finding = Finding::new(Severity::Policy, Area::Retention, subject, problem);
            self.findings.push(finding.remedy(format!("see what would go: {prune} --dry-run")));
            return true;
        }
        // Newest first.
        let doomed: Vec<&str> = pruning.doomed().map(|d| d.set.as_str()).collect();
        let names = match doomed.as_slice() {
            [] => return true,
            [only] => (*only).to_owned(),
            [first, .., last] => format!("{last} to {first}"),
        };
        let sets = count(doomed.len() as u64, "set");
        let problem = format!("its policy ({}) lets {sets} go that still stand there: {names}", pruning.policy);
        let finding = Finding::new(Severity::Policy, Area::Retention, subject, problem);
        self.findings.push(finding.remedy(format!("{prune}; with --dry-run it only says why")));
        true
    }

    /// What is gone though the policy, reckoned over everything that ever was, would still keep it.
    fn lost(&mut self, part: &SeriesPart, promise: &Promise, keep: &Keep) {
        // That the clock is behind was said already.
        let Ok(decisions) = plan(keep, promise.zone, self.now, &ever(part)) else { return };
        for decision in decisions.iter().filter(|d| d.keep) {
            let Some(set) = decision.set.strip_prefix(BURIED) else { continue };
            let rules = decision.reasons.iter().filter(|r| !matches!(r, Reason::Newest));
            let why: Vec<String> = rules.map(ToString::to_string).collect();
            if why.is_empty() {
                continue;
            }
            let problem = format!("was pruned, though the policy keeps it: {}", why.join("; "));
            let set = format!("{}/{set}", part.series);
            let finding = Finding::of_set(Severity::Policy, Area::Retention, &set, problem);
            self.findings.push(finding.remedy("find out who pruned it, or when the policy began to keep more"));
        }
    }
}

/// Every set that counts, and every one that did.
fn ever(part: &SeriesPart) -> Vec<Candidate> {
    let candidate = |set: String, at, sealed| Candidate {
        set,
        standing: Standing::Counts { at, sealed },
        pinned: None,
        held: None,
    };
    let here = part.sets.iter().filter(|set| set.worst.is_none_or(|worst| worst < Severity::Unchecked));
    let here = here.filter_map(|set| {
        let facts = set.facts.as_ref().filter(|f| f.level >= Level::Structure)?;
        Some(candidate(set.set.clone(), facts.slot.unwrap_or(facts.started), facts.sealed))
    });
    let gone = part.pruned.iter().filter(|pruned| pruned.level >= Level::Structure);
    let gone = gone.map(|pruned| {
        candidate(format!("{BURIED}{}", pruned.set), pruned.slot.unwrap_or(pruned.started), pruned.sealed)
    });
    here.chain(gone).collect()
}

/// Sets that pruning leaves for a store of their job that has no copy yet, or could not be asked.
fn held(part: &SeriesPart, promise: &Promise) -> BTreeMap<String, String> {
    let lacks = |set: &SetPart, store: &String| {
        let mark = set.copies.iter().find(|c| c.store == *store).map(|c| &c.mark);
        !matches!(mark, Some(Mark::Good(_) | Mark::Open(_)))
    };
    let lacking = part.sets.iter().filter(|set| promise.stores.iter().any(|store| lacks(set, store)));
    lacking.map(|set| (set.name().to_owned(), "a store has no copy of it yet".to_owned())).collect()
}
