//! What was learned of sets after they were published, and the chain that they make.

use std::collections::BTreeSet;

use super::{Audit, ODD_RECORD};
use crate::{
    backup::{
        chain,
        records::{self, Found, RecordProblem},
    },
    model::{
        audit::{Area, Finding, Head, PrunedPart, SeriesPart, SetPart, Severity},
        chain::Break,
        failure::chain as text,
        ids::SeriesName,
        record::{self, Body},
    },
};

impl Audit<'_> {
    /// Adds what records say of a set.
    pub(super) fn history(&mut self, series: &SeriesName, set: &mut SetPart) {
        let found = match records::read(&self.series_dir(series), set.name(), self.trust.as_ref()) {
            Ok(found) => found,
            Err(error) => {
                let finding = Finding::of_set(Severity::Unchecked, Area::Records, &set.set, text(&error));
                self.findings.push(finding.remedy("make its records readable, and audit again"));
                return;
            }
        };
        self.odd_records(&set.set, &found.problems);
        let Some(facts) = &mut set.facts else { return };
        for (_, verification) in found.drills() {
            facts.level = facts.level.max(verification.level);
            if facts.drilled.is_none_or(|at| at < verification.finished) {
                facts.drilled = Some(verification.finished);
                facts.recovery_millis = verification.drill.as_ref().map(|d| d.recovery_millis);
            }
        }
        let current: Vec<_> = found.current().cloned().collect();
        facts.pinned = record::pinned(&current).map(str::to_owned);
        set.copied_to = copied_to(&found);
    }

    fn odd_records(&mut self, set: &str, problems: &[RecordProblem]) {
        for problem in problems {
            let severity = if problem.unknown { Severity::Unchecked } else { Severity::Tampered };
            let finding = Finding::of_set(severity, Area::Records, set, problem.to_string());
            self.findings.push(finding.remedy(ODD_RECORD));
        }
    }

    /// Adds what tombstones tell of sets that are gone.
    pub(super) fn buried(&mut self, part: &mut SeriesPart) {
        let dir = self.series_dir(&part.series);
        let names = match records::names(&dir) {
            Ok(names) => names,
            Err(error) => return self.no_records(part, &text(&error)),
        };
        for name in names {
            let set = format!("{}/{name}", part.series);
            let found = match records::read(&dir, &name, self.trust.as_ref()) {
                Ok(found) => found,
                Err(error) => {
                    self.no_records(part, &text(&error));
                    continue;
                }
            };
            if !part.sets.iter().any(|s| s.set == set) {
                // Of a set that is there, this was said already.
                self.odd_records(&set, &found.problems);
            }
            for signed in found.records.iter().filter(|s| s.signature.is_believed()) {
                let Body::Tombstone(tombstone) = &signed.record.body else { continue };
                if found.manifest_sha256.as_ref() == Some(&signed.record.manifest_sha256) {
                    let problem = "it has a tombstone and is still there: its pruning was begun and did not end";
                    let finding = Finding::of_set(Severity::Policy, Area::Retention, &set, problem);
                    self.findings.push(finding.remedy("maint prune"));
                    continue;
                }
                part.pruned.push(PrunedPart {
                    set: name.clone(),
                    period: tombstone.period.clone(),
                    slot: tombstone.slot,
                    started: tombstone.started,
                    sealed: tombstone.sealed,
                    level: tombstone.level,
                    reason: tombstone.reason.clone(),
                });
            }
        }
        part.pruned.sort_by_key(|p| p.sealed);
    }

    fn no_records(&mut self, part: &SeriesPart, problem: &str) {
        let subject = format!("series {}", part.series);
        let finding = Finding::new(Severity::Unchecked, Area::Records, subject, problem);
        self.findings.push(finding.remedy("make its records readable, and audit again"));
    }

    /// Walks the chain of a series: what was taken out, changed or slipped in, and what was once its end.
    pub(super) fn chain(&mut self, part: &mut SeriesPart) {
        let dir = self.series_dir(&part.series);
        if !dir.is_dir() {
            return;
        }
        let chain = match chain::load(&dir, self.trust.as_ref()) {
            Ok(chain) => chain,
            Err(error) => {
                let subject = format!("series {}", part.series);
                self.findings.push(Finding::new(Severity::Unchecked, Area::Chain, subject, text(&error)));
                return;
            }
        };
        let walk = chain.walk;
        // What is wrong with a set that cannot be read was said; where it stands in the chain cannot be told.
        let unread = |set: &str| chain.unreadable.iter().any(|(name, _)| name == set);
        for broken in &walk.breaks {
            let missing = matches!(broken, Break::Missing { set, .. } if unread(set));
            let severity = if missing { Severity::Unchecked } else { Severity::Tampered };
            let set = format!("{}/{}", part.series, broken.subject());
            let finding = Finding::of_set(severity, Area::Chain, &set, broken.to_string());
            self.findings.push(finding.remedy(broken.remedy()));
        }
        let severity = if chain.unreadable.is_empty() { Severity::Tampered } else { Severity::Unchecked };
        for lost in self.expected(part).iter().filter_map(|sha256| walk.expect(sha256)) {
            let finding = Finding::new(severity, Area::Chain, format!("series {}", part.series), lost.to_string());
            self.findings.push(finding.remedy(lost.remedy()));
        }
        part.head = walk
            .head
            .map(|link| Head { set: format!("{}/{}", part.series, link.set), manifest_sha256: link.manifest_sha256 });
    }
    /// What was once the end of a series: as this host remembers it, and as somebody noted it elsewhere.
    fn expected(&mut self, part: &SeriesPart) -> BTreeSet<String> {
        let remembered = chain::previous(&self.series_dir(&part.series), &part.series, &self.request.stack.state_dir);
        let remembered = match remembered {
            Ok(previous) => previous.map(|p| p.manifest_sha256),
            Err(error) => {
                self.scope.left_out.push(format!("the remembered end of {}: {}", part.series, text(&error)));
                None
            }
        };
        let noted = self.request.heads.iter().filter(|head| head.series == part.series);
        noted.map(|head| head.manifest_sha256.clone()).chain(remembered).collect()
    }
}

/// The stores that records say a set was copied to.
fn copied_to(found: &Found) -> Vec<String> {
    let copies = found.current().filter_map(|s| match &s.record.body {
        Body::Copy(copied) => Some(copied.store.clone()),
        _ => None,
    });
    copies.collect()
}
