//! What was learned of a set after it was published.

use std::path::Path;

use super::{Audit, keep_it};
use crate::{
    backup::records,
    model::{
        audit::{Area, Finding, SetPart, Severity},
        failure::chain,
        manifest::Manifest,
    },
};

impl Audit<'_> {
    /// Adds what records say of a set.
    pub(super) fn history(&mut self, path: &Path, _manifest: &Manifest, set: &mut SetPart) {
        let (drills, problems) = match records::drills(path) {
            Ok(found) => found,
            Err(error) => {
                let finding = Finding::of_set(Severity::Unchecked, Area::Records, &set.set, chain(&error));
                self.findings.push(finding.remedy("make its records readable, and audit again"));
                return;
            }
        };
        for problem in problems {
            let finding = Finding::of_set(Severity::Tampered, Area::Records, &set.set, problem);
            self.findings.push(finding.remedy(keep_it(&set.set)));
        }
        let Some(facts) = &mut set.facts else { return };
        for drill in drills {
            facts.level = facts.level.max(drill.verification.level);
            if facts.drilled.is_none_or(|at| at < drill.verification.finished) {
                facts.drilled = Some(drill.verification.finished);
                facts.recovery_millis = drill.verification.drill.map(|d| d.recovery_millis);
            }
        }
    }
}
