//! What the policy lets go and is still there, what it keeps and is gone, and what stands in its way.

use std::collections::BTreeMap;

use super::{Audit, Promise};
use crate::{
    backup::retention::{Pruning, Series},
    model::{
        audit::{Area, Finding, SeriesPart, Severity},
        failure::{Class, Diagnose, chain},
        manifest::Level,
        retention::{Candidate, Keep, Reason, Standing, plan},
        units::count,
    },
};

/// What a tombstone is called beside a set of its name, which no set's name begins with.
const BURIED: &str = "†";

impl Audit<'_> {
    /// Adds what is not as the series' policy wants it.
    pub(super) fn retention(&mut self, part: &SeriesPart) {
        let Some(promise) = self.promise(&part.series).cloned() else { return };
        let Some(keep) = &promise.keep else { return };
        let dir = self.series_dir(&part.series);
        if !dir.is_dir() {
            return;
        }
        let series = Series { name: &part.series, dir, zone: promise.zone, trust: self.trust.as_ref(), signer: None };
        let subject = format!("series {}", part.series);
        match series.plan(keep, self.now, &BTreeMap::new()) {
            Ok(pruning) => {
                self.overdue(part, &pruning);
                self.lost(part, &promise, keep);
            }
            Err(error) => {
                let severity =
                    if error.class() == Class::Unverifiable { Severity::Unchecked } else { Severity::Policy };
                let finding = Finding::new(severity, Area::Retention, subject, chain(&error));
                self.findings.push(finding.remedy(error.hint().unwrap_or_default()));
            }
        }
    }

    /// What should be gone. A freeze says so by itself, and what waits for it is no second finding.
    fn overdue(&mut self, part: &SeriesPart, pruning: &Pruning) {
        let subject = format!("series {}", part.series);
        if let Some(problem) = pruning.freeze() {
            let finding = Finding::new(Severity::Policy, Area::Retention, subject, problem);
            self.findings
                .push(finding.remedy(format!("see what would go: maint prune --series {} --dry-run", part.series)));
            return;
        }
        let doomed: Vec<&str> = pruning.doomed().map(|d| d.set.as_str()).collect();
        let names = match doomed.as_slice() {
            [] => return,
            [first] => (*first).to_owned(),
            [first, .., last] => format!("{last} to {first}"),
        };
        let sets = count(doomed.len() as u64, "set");
        let problem = format!("its policy ({}) lets {sets} go that still stand here: {names}", pruning.policy);
        let finding = Finding::new(Severity::Policy, Area::Retention, subject, problem);
        let remedy = format!("maint prune --series {}; with --dry-run it only says why", part.series);
        self.findings.push(finding.remedy(remedy));
    }

    /// What is gone though the policy, reckoned over everything that ever was, would still keep it.
    fn lost(&mut self, part: &SeriesPart, promise: &Promise, keep: &Keep) {
        let standing = |at, sealed| Standing::Counts { at, sealed };
        let candidate = |set, standing| Candidate { set, standing, pinned: None, held: None };
        let here = part.sets.iter().filter(|set| set.worst.is_none_or(|w| w < Severity::Unchecked));
        let here = here.filter_map(|set| {
            let facts = set.facts.as_ref().filter(|f| f.level >= Level::Structure)?;
            Some(candidate(set.set.clone(), standing(facts.slot.unwrap_or(facts.started), facts.sealed)))
        });
        let gone = part.pruned.iter().filter(|pruned| pruned.level >= Level::Structure);
        let gone = gone.map(|pruned| {
            let name = format!("{BURIED}{}", pruned.set);
            candidate(name, standing(pruned.slot.unwrap_or(pruned.started), pruned.sealed))
        });
        let all: Vec<Candidate> = here.chain(gone).collect();
        // That the clock is behind was said already.
        let Ok(decisions) = plan(keep, promise.zone, self.now, &all) else { return };
        for decision in decisions.iter().filter(|d| d.keep) {
            let Some(set) = decision.set.strip_prefix(BURIED) else { continue };
            let why: Vec<String> =
                decision.reasons.iter().filter(|r| !matches!(r, Reason::Newest)).map(ToString::to_string).collect();
            if why.is_empty() {
                continue;
            }
            let set = format!("{}/{set}", part.series);
            let problem = format!("was pruned, though the policy keeps it: {}", why.join("; "));
            let finding = Finding::of_set(Severity::Policy, Area::Retention, &set, problem);
            self.findings.push(finding.remedy("find out who pruned it, or when the policy began to keep more"));
        }
    }
}
