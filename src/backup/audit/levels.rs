//! Levels reached against levels asked for, and the age of drills: what was never restored is a hope.

use chrono::TimeDelta;

use super::Audit;
use crate::model::{
    audit::{Area, Finding, SeriesPart, Severity},
    manifest::Level,
    units::age,
};

impl Audit<'_> {
    /// Adds a finding for each set below its job's level, and for a series that was not restored for long.
    pub(super) fn levels(&mut self, part: &SeriesPart) {
        let before = self.findings.len();
        if let Some(asks) = part.asks {
            for set in &part.sets {
                let Some(facts) = set.facts.as_ref().filter(|f| f.level < asks) else { continue };
                let reached = facts.level;
                let why = match &facts.shortfall {
                    Some(reason) => format!("the drill could not run: {reason}"),
                    None if asks == Level::Drill => "it was never drilled".to_owned(),
                    None => format!("it was verified to the level {reached}"),
                };
                let problem = format!("its job asks for the level {asks}, and it reached {reached}: {why}");
                self.findings.push(
                    Finding::of_set(Severity::Policy, Area::Drill, &set.set, problem)
                        .remedy(format!("maint verify --level {asks} {}", set.set)),
                );
            }
        }
        if self.findings.len() == before {
            self.age(part);
        }
    }

    fn age(&mut self, part: &SeriesPart) {
        if part.sets.iter().all(|set| set.facts.is_none()) {
            return;
        }
        let within = TimeDelta::from_std(self.request.stack.audit.drill_within).unwrap_or(TimeDelta::MAX);
        let newest = part.sets.iter().filter_map(|set| set.facts.as_ref()?.drilled).max();
        let problem = match newest {
            Some(at) if self.now - at <= within => return,
            Some(at) => format!("its newest drill is {} old; [audit] allows {}", age(self.now - at), age(within)),
            None => "no set of it was ever restored: nobody knows whether it can be".to_owned(),
        };
        let finding = Finding::new(Severity::Policy, Area::Drill, format!("series {}", part.series), problem);
        self.findings.push(
            finding.remedy(format!("restore the newest and compare: maint verify --level drill {}", part.series)),
        );
    }
}
