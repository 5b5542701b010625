//! What a rotation is told as.

use std::{collections::BTreeSet, io, path::Path, time::Duration};

use chrono::TimeDelta;

use super::{
    LogsRequest,
    live::{Live, Rotated, Writer},
    select::{Found, Log, Pattern},
};
use crate::{
    adapters::holders,
    model::{
        finding::{Finding, Unit},
        units::{ByteSize, Elapsed, age, count},
    },
    upkeep::Done,
};

/// How many things of one kind are told one by one.
const TOLD: usize = 20;

/// What was done and what was not.
#[derive(Default)]
pub(super) struct Tally {
    findings: Vec<Finding>,
    packed: usize,
    plain_bytes: u64,
    packed_bytes: u64,
    deleted: usize,
    deleted_bytes: u64,
    rotated: usize,
    undone: usize,
    pub(super) recovered: usize,
    pub(super) young: usize,
}

fn number(n: usize, noun: &str) -> String {
    count(u64::try_from(n).unwrap_or(u64::MAX), noun)
}

fn who(by: &BTreeSet<i32>) -> String {
    let names: Vec<String> = by.iter().take(3).map(|pid| holders::describe(*pid)).collect();
    match names.as_slice() {
        [] => "somebody wrote to it meanwhile".into(),
        names => format!("{} has it open", names.join(", ")),
    }
}

impl Tally {
    pub(super) fn packed(&mut self, plain: u64, packed: u64) {
        self.packed += 1;
        self.plain_bytes += plain;
        self.packed_bytes += packed;
    }

    pub(super) fn deleted(&mut self, bytes: u64) {
        self.deleted += 1;
        self.deleted_bytes += bytes;
    }

    fn undone(&mut self, finding: Finding) {
        self.undone += 1;
        if self.undone <= TOLD {
            self.findings.push(finding);
        }
    }

    pub(super) fn failed(&mut self, pattern: &Pattern, log: &Log, error: &io::Error) {
        let path = log.path(&pattern.base);
        self.undone(
            Finding::critical(path.clone(), format!("left as it was: {error}")).hint(format!("see: ls -l {path}")),
        );
    }

    pub(super) fn held(&mut self, pattern: &Pattern, held: Vec<(Log, BTreeSet<i32>)>) {
        for (log, by) in held {
            let seen = format!("left unpacked: {}", who(&by));
            let hint = "let its writer open its log anew: set `live` with its signal, or restart it";
            self.undone(Finding::warning(log.path(&pattern.base), seen).hint(hint));
        }
    }

    /// A directory that is not there is no empty directory.
    pub(super) fn no_directory(&mut self, pattern: &Pattern, error: &io::Error) {
        let hint = match error.kind() {
            io::ErrorKind::NotFound => "make it, or correct `paths`",
            io::ErrorKind::NotADirectory => "name the directory itself, not a link to it",
            _ => "let the user that runs maint read it",
        };
        let subject = pattern.base.display().to_string();
        self.findings.push(Finding::critical(subject, format!("not looked at: {error}")).hint(hint));
    }

    pub(super) fn not_recovered(&mut self, dir: &Path, error: &io::Error) {
        let seen = format!("what a killed maint left there is still there: {error}");
        self.findings.push(Finding::critical(dir.display().to_string(), seen));
    }

    pub(super) fn blind(&mut self, pattern: &Pattern, unseen: usize, logs: usize) {
        let seen = format!(
            "{} not packed: {} may have them open and cannot be looked at",
            number(logs, "log"),
            number(unseen, "process").replace("processs", "processes")
        );
        self.findings.push(Finding::unknown(pattern.base.display().to_string(), seen).hint("run this job as root"));
    }

    pub(super) fn left_alone(&mut self, pattern: &Pattern, found: &Found) {
        for dir in found.open_to_all.iter().take(TOLD) {
            let path = pattern.base.join(dir).display().to_string();
            let hint = format!("chmod o-w {path}");
            let seen = "left alone: everybody may write there, and put anything in a log's place";
            self.findings.push(Finding::warning(path, seen).hint(hint));
        }
        for log in found.linked.iter().take(TOLD) {
            let seen = format!("left alone: it has {} further names", log.facts.links.saturating_sub(1));
            self.findings.push(Finding::warning(log.path(&pattern.base), seen).hint("remove the other names"));
        }
        for log in found.long.iter().take(TOLD) {
            self.findings.push(Finding::warning(log.path(&pattern.base), "left alone: its name is too long"));
        }
        for (dir, error) in found.unread.iter().take(TOLD) {
            let path = pattern.base.join(dir).display().to_string();
            self.findings.push(Finding::unknown(path, format!("not looked at: {error}")));
        }
    }

    pub(super) fn rotated(&mut self, pattern: &Pattern, live: &Live, rotated: Rotated) {
        self.rotated += rotated.renamed;
        if let Some(why) = rotated.untold {
            let writer = match &live.signal {
                Some((Writer::Container(name), _)) => format!("container {name}"),
                Some((Writer::PidFile(path), _)) => path.display().to_string(),
                None => "writer".to_owned(),
            };
            let seen = format!("not told to open its logs anew: {why}");
            self.findings.push(Finding::critical(writer, seen).hint("correct `live.signal` of the step"));
        }
        for (log, error) in rotated.failed {
            self.failed(pattern, &log, &error);
        }
        for (log, by) in rotated.held {
            let seen = format!("left unpacked: after {} {}", Elapsed(live.wait), who(&by));
            let hint = "let its writer open its log anew: correct `live.signal`, or restart it; the next run packs it";
            self.undone(Finding::warning(log.path(&pattern.base), seen).hint(hint));
        }
    }

    pub(super) fn report(mut self, request: &LogsRequest<'_>, took: Duration) -> Done {
        let mut parts = vec![match self.packed {
            0 => "nothing to pack".to_owned(),
            n => format!(
                "{} packed, {} -> {}",
                number(n, "log"),
                ByteSize(self.plain_bytes),
                ByteSize(self.packed_bytes)
            ),
        }];
        if let Some(after) = request.delete_after.filter(|_| self.deleted > 0) {
            let older = age(TimeDelta::from_std(after).unwrap_or(TimeDelta::MAX));
            parts.push(format!(
                "{} older than {older} removed, {}",
                number(self.deleted, "log"),
                ByteSize(self.deleted_bytes)
            ));
        }
        if self.rotated > 0 {
            parts.push(format!("{} rotated", number(self.rotated, "live log")));
        }
        if self.young > 0 {
            parts.push(format!("{} too young", number(self.young, "log")));
        }
        if self.recovered > 0 {
            parts.push(format!("{} of a killed run put right", number(self.recovered, "file")));
        }
        if self.undone > 0 {
            parts.push(format!("{} left as they were", number(self.undone, "log")));
        }
        let summary = format!("{}, in {}", parts.join("; "), Elapsed(took));
        let spared = (self.plain_bytes + self.deleted_bytes).saturating_sub(self.packed_bytes);
        self.findings.insert(0, Finding::good("logs", &summary).value(spared as f64, Unit::Bytes));
        if self.undone > TOLD {
            let seen = format!("{} more left as they were", number(self.undone - TOLD, "log"));
            self.findings.push(Finding::warning("further logs", seen));
        }
        let changed = self.packed + self.deleted + self.rotated + self.recovered > 0;
        Done { summary, findings: self.findings, changed }
    }
}
