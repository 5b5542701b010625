//! `disk`: space and inodes.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{late, measured, summary, unasked};
use crate::{
    adapters::files::{self, FileError, Fullness},
    model::{
        bands::Bands,
        finding::{Finding, Unit},
        stack::Stack,
        units::{ByteSize, grouped},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// A disk that is there answers sooner; one of another host may never.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Space and inodes of the file systems of some paths, in percent of what there is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Disk {
    /// Paths on the file systems to look at; each must be there. Default: every file system of this
    /// host that can run full, and those of the backup and the state directory.
    #[serde(default)]
    paths: Option<Vec<PathBuf>>,
    /// Used space. Default: good below 80 %, critical above 90 %.
    #[serde(default)]
    space: Option<Bands>,
    /// Used inodes. Default: good below 80 %, critical above 90 %.
    #[serde(default)]
    inodes: Option<Bands>,
}

impl Disk {
    /// Those that the step names, else maint's own.
    fn paths(&self, stack: &Stack) -> BTreeSet<PathBuf> {
        match &self.paths {
            Some(paths) => paths.iter().map(|path| stack.root.join(path)).collect(),
            None => [PathBuf::from("/"), stack.backup_dir.clone(), stack.state_dir.clone()].into(),
        }
    }
}

impl StepKind for Disk {
    const SUMMARY: &'static str = "Looks how full file systems are, by space and by inodes";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let nothing = self.paths.as_ref().is_some_and(Vec::is_empty);
        nothing.then(|| Problem { key: "paths", message: "nothing is looked at".into() }).into_iter().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let mut plan: Vec<String> =
            self.paths(stack).iter().map(|path| format!("ask how full {} is", path.display())).collect();
        if self.paths.is_none() {
            plan.push("ask how full every other file system of this host is".into());
        }
        plan
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let named = self.paths.is_some();
        let mut paths = self.paths(&context.stack);
        let mut findings = Vec::new();
        match files::mounts() {
            _ if named => {}
            Ok(mounts) => paths.extend(mounts),
            Err(error) => findings.push(unasked("other file systems", &error)),
        }
        let looked = join_all(paths.into_iter().map(|path| look(path, named))).await;
        let mut seen = BTreeSet::new();
        // Paths of one file system are one observation; the first is the shortest.
        for (subject, looked) in looked {
            match looked {
                Ok((system, fullness)) if seen.insert(system) => findings.extend(self.judge(&subject, fullness)),
                Ok(_) => {}
                Err(finding) => findings.push(*finding),
            }
        }
        Ok(StepReport::found(summary("measurement", &findings), findings))
    }
}

/// Which file system a path is on, and how full that is. One that somebody named must be there: a disk that is not mounted
/// would else be measured by the one that it is missing from.
async fn look(path: PathBuf, named: bool) -> (String, Result<(u64, Fullness), Box<Finding>>) {
    let subject = path.display().to_string();
    // One that never answers leaves its thread behind, not the check.
    let asked = tokio::time::timeout(ANSWER_WITHIN, tokio::task::spawn_blocking(move || fullness(path, named))).await;
    let looked = match asked {
        Ok(Ok(Ok(found))) => Ok(found),
        Ok(Ok(Err(error))) => Err(Box::new(unasked(subject.clone(), &error))),
        Ok(Err(_)) | Err(_) => Err(Box::new(late(subject.clone(), ANSWER_WITHIN))),
    };
    (subject, looked)
}

impl Disk {
    fn judge(&self, subject: &str, system: Fullness) -> Vec<Finding> {
        let percent = |free: u64, all: u64| (all.saturating_sub(free)) as f64 / all as f64 * 100.0;
        let default = Bands::below(80.0, 90.0);
        let mut findings = Vec::new();
        let mut add = |what: &str, free, all, bands: &Option<Bands>, left: String, hint: &str| {
            let bands = bands.as_ref().unwrap_or(&default);
            let finding = measured(format!("{subject}, {what}"), percent(free, all), Unit::Percent, Some(bands));
            let finding = Finding { seen: format!("{}, {left} free", finding.seen), ..finding };
            let finding = finding.source(format!("statvfs {subject}"));
            findings.push(if finding.band.is_fine() { finding } else { finding.hint(hint) });
        };
        let left = ByteSize(system.free_bytes).to_string();
        let hint = format!("see what takes it: du -xh --max-depth=2 {subject} | sort -h | tail");
        add("space", system.free_bytes, system.bytes, &self.space, left, &hint);
        // Some file systems make inodes as they go, and count none.
        if system.inodes > 0 {
            let hint = format!("see where they are: du --inodes -x --max-depth=2 {subject} | sort -n | tail");
            add("inodes", system.free_inodes, system.inodes, &self.inodes, grouped(system.free_inodes), &hint);
        }
        findings
    }
}

/// What maint itself has not made yet will be made on the file system of what is there.
fn fullness(path: PathBuf, named: bool) -> Result<(u64, Fullness), FileError> {
    let there = path.ancestors().find(|path| named || path.exists()).map(PathBuf::from).unwrap_or(path);
    Ok((files::file_system(&there)?, files::fullness(&there)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Band;

    #[tokio::test]
    async fn a_named_path_that_is_not_there_is_unknown_and_not_measured_by_its_parent() {
        let absent = || PathBuf::from("/nowhere/at/all");
        assert_eq!(look(absent(), true).await.1.unwrap_err().band, Band::Unknown);
        assert!(look(absent(), false).await.1.is_ok(), "maint's own directories are made when they are needed");
    }

    #[test]
    fn space_and_inodes_are_told_apart() {
        let disk = Disk { paths: None, space: None, inodes: None };
        let system = Fullness { bytes: 1000, free_bytes: 500, inodes: 100, free_inodes: 5 };
        let bands: Vec<_> = disk.judge("/x", system).iter().map(|f| (f.subject.clone(), f.band)).collect();
        assert_eq!(bands, [("/x, space".into(), Band::Good), ("/x, inodes".into(), Band::Critical)]);
        assert_eq!(disk.judge("/x", Fullness { inodes: 0, ..system }).len(), 1);
        assert_eq!(disk.judge("/x", Fullness { bytes: 0, free_bytes: 0, ..system })[0].band, Band::Unknown);
    }
}
