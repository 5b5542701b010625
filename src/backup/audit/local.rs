//! Every set in `backups/`: each file against manifest and SHA256SUMS, the sample decoded to the end.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, AuditError, content, empty_part, keep_it, severity, severity_of};
use crate::{
    backup::{
        retention::is_unfinished,
        sets::{self, Entry},
        verify::{self, VerifyError},
    },
    model::{
        audit::{Area, Finding, Mark, SeriesPart, SetFacts, SetPart, Severity},
        failure::{Class, Diagnose, chain},
        ids::SeriesName,
        manifest::{Level, Manifest},
        period::PeriodKind,
        sample,
        signature::Signature,
    },
};

impl Audit<'_> {
    /// Every series: those of the configuration, and those that only lie there.
    pub(super) fn local(&mut self) -> Result<Vec<SeriesPart>, AuditError> {
        let entries: Vec<Entry> =
            sets::list(&self.request.stack.backup_dir)?.into_iter().filter(|e| !e.partial).collect();
        let whole = entries.iter().filter(|e| e.manifest.is_ok()).map(|e| e.name.as_str());
        let sampled: BTreeSet<String> =
            sample::pick(self.request.seed, whole, self.request.sample).into_iter().map(str::to_owned).collect();
        self.scope.sampled.extend(sampled.iter().cloned());
        let mut parts: BTreeMap<SeriesName, SeriesPart> = BTreeMap::new();
        for promise in &self.request.promises {
            parts.insert(promise.series.clone(), empty_part(&promise.series, Some(promise)));
        }
        for entry in entries {
            let Some(series) = entry.name.split('/').next().and_then(|name| name.parse::<SeriesName>().ok()) else {
                continue;
            };
            if self.is_rest(&entry) {
                continue;
            }
            let mut set = self.set(&series, entry, &sampled)?;
            self.history(&series, &mut set);
            let promise = self.promise(&series);
            parts.entry(series.clone()).or_insert_with(|| empty_part(&series, promise)).sets.push(set);
        }
        let mut parts: Vec<SeriesPart> = parts.into_values().collect();
        for part in &mut parts {
            // What has no manifest has no time: it stands where its name puts it.
            part.sets.sort_by_key(|set| (set.period.clone(), set.facts.as_ref().map(|f| f.sealed)));
            if part.job.is_none() {
                self.findings.push(
                    Finding::new(
                        Severity::Note,
                        Area::Schedule,
                        format!("series {}", part.series),
                        "no job of this configuration adds to it: whether a set is missing cannot be told",
                    )
                    .remedy("if its job is gone for good, that is as it should be"),
                );
            }
        }
        Ok(parts)
    }

    fn set(&mut self, series: &SeriesName, entry: Entry, sampled: &BTreeSet<String>) -> Result<SetPart, AuditError> {
        let name = entry.name.rsplit('/').next().unwrap_or_default();
        let mut set = SetPart {
            period: name.split('-').next().unwrap_or_default().to_owned(),
            set: entry.name.clone(),
            manifest_sha256: entry.manifest_sha256,
            facts: None,
            read: None,
            signature: Mark::Unknown("not read".into()),
            worst: None,
            copied_to: Vec::new(),
            copies: Vec::new(),
        };
        let level = if sampled.contains(&entry.name) { Level::Structure } else { Level::Checksum };
        match verify::set(&entry.path, level, self.trust.as_ref(), self.cancel, self.events) {
            Ok(report) => {
                set.read = Some(level);
                self.scope.bytes_read += report.checked.iter().map(|c| c.bytes).sum::<u64>();
                for finding in &report.findings {
                    let mut of_it =
                        content(severity_of(finding), &set.set, format!("{}: {}", finding.file, finding.problem));
                    if report.signature.problem().as_ref() == Some(&finding.problem) {
                        of_it.area = Area::Signature;
                    }
                    self.findings.push(of_it);
                }
                set.signature = mark(&report.signature);
                self.place(series, name, &set.set, &report.manifest);
                set.facts = Some(facts(&report.manifest));
            }
            Err(error) if error.class() == Class::Interrupted => return Err(AuditError::Cancelled),
            Err(error) => self.no_set(&set.set, &error),
        }
        Ok(set)
    }

    /// Whether a directory is what an interrupted pruning left of a set: no damage, for its tombstone tells.
    fn is_rest(&mut self, entry: &Entry) -> bool {
        // Where that cannot be told, the directory is looked at as a set.
        let rest = entry.manifest.is_err() && is_unfinished(&entry.path, self.trust.as_ref()).unwrap_or(false);
        if rest {
            let problem = "its pruning was begun and did not end";
            let finding = Finding::of_set(Severity::Policy, Area::Retention, &entry.name, problem);
            self.findings.push(finding.remedy("maint prune"));
        }
        rest
    }

    fn no_set(&mut self, set: &str, error: &VerifyError) {
        self.findings.push(content(severity(error.class()), set, chain(error)));
    }

    /// A set must be what its place says that it is: a whole set of another place, with every digest right, is a lie.
    fn place(&mut self, series: &SeriesName, name: &str, set: &str, manifest: &Manifest) {
        let mut lies = Vec::new();
        if manifest.stack != self.request.stack.name {
            lies.push(format!("is a set of the stack {}", manifest.stack));
        }
        if manifest.series != *series {
            lies.push(format!("is a set of the series {}", manifest.series));
        }
        let numbered = name.strip_prefix(&manifest.period).and_then(|rest| rest.strip_prefix('-'));
        if name != manifest.period && numbered.is_none_or(|n| n.parse::<u64>().is_err()) {
            lies.push(format!("is a set of the period {}", manifest.period));
        }
        let run = &manifest.run;
        let stands_for = run.slot.unwrap_or(run.started);
        let zone = run.timezone.parse().unwrap_or(self.request.stack.timezone);
        let kinds = [PeriodKind::Month, PeriodKind::Week, PeriodKind::Day, PeriodKind::Instant];
        if !kinds.iter().any(|kind| kind.label(stands_for, zone) == manifest.period) {
            lies.push(format!("says the period {}, but stands for {stands_for}", manifest.period));
        }
        if run.sealed < run.started {
            lies.push(format!("says that it was sealed {}, before it was begun {}", run.sealed, run.started));
        }
        for lie in lies {
            self.findings.push(Finding::of_set(Severity::Tampered, Area::Content, set, lie).remedy(keep_it(set)));
        }
        if run.sealed > self.now {
            let problem = format!("says that it was sealed {}, which is not yet", run.sealed);
            let finding = Finding::of_set(Severity::Policy, Area::Content, set, problem);
            self.findings.push(finding.remedy("compare this host's clock: timedatectl"));
        }
    }
}

/// Who signed a set, in a word or two.
fn mark(signature: &Signature) -> Mark {
    match signature {
        Signature::Good { signer, .. } => Mark::Good(signer.clone()),
        Signature::Unsigned => Mark::Open("not signed".into()),
        Signature::NotChecked { .. } => Mark::Open("signed, not checked".into()),
        Signature::Missing => Mark::Bad("not signed".into()),
        Signature::Untrusted { .. } => Mark::Bad("unknown key".into()),
        Signature::Bad { .. } => Mark::Bad("wrong".into()),
        Signature::Unreadable { .. } => Mark::Unknown("not read".into()),
    }
}

fn facts(manifest: &Manifest) -> SetFacts {
    let drill = manifest.verification.drill.as_ref();
    let rows = manifest.artifacts.iter().filter_map(|a| a.counts.rows);
    SetFacts {
        slot: manifest.run.slot,
        started: manifest.run.started,
        sealed: manifest.run.sealed,
        millis: manifest.run.millis,
        bytes: manifest.files.iter().map(|f| f.bytes).sum(),
        rows: rows.reduce(u64::saturating_add),
        level: manifest.verification.level,
        drilled: drill.map(|_| manifest.verification.finished),
        recovery_millis: drill.map(|d| d.recovery_millis),
        shortfall: manifest.verification.shortfall.clone(),
        pinned: None,
    }
}
