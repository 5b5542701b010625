//! `log_rotation`: are logs rotated, compressed and let go as they should be?

use std::{path::PathBuf, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{summary, unasked};
use crate::{
    adapters::{
        clock,
        files::{self, Aged},
    },
    model::{
        finding::{Finding, Unit},
        span::Span,
        stack::Stack,
        units::{ByteSize, age, count},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

const COMPRESSED_AFTER: Duration = Duration::from_secs(8 * 24 * 3600);
const GONE_AFTER: Duration = Duration::from_secs(31 * 24 * 3600);
/// A log that nobody wrote for so long may be one that its writer lost.
const QUIET_AFTER: Duration = Duration::from_secs(24 * 3600);

/// Log rotation as it stands: logs that should have been compressed or deleted, and how old the newest line is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogRotation {
    /// Directories of `*.log` and `*.log.gz` or `*.log.zst`, at any depth.
    paths: Vec<PathBuf>,
    /// A log that was last written before this should be compressed. Default: `8d`, for it is done every 7 days.
    #[serde(default)]
    compressed_after: Option<Span>,
    /// A compressed log older than this should be gone. Default: `31d`.
    #[serde(default)]
    gone_after: Option<Span>,
    /// Some log must have been written within this. Default: `24h`.
    #[serde(default)]
    quiet_after: Option<Span>,
}

impl StepKind for LogRotation {
    const SUMMARY: &'static str = "Looks whether logs are rotated, compressed and deleted in time";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let nothing = self.paths.is_empty();
        nothing.then(|| Problem { key: "paths", message: "nothing is looked at".into() }).into_iter().collect()
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        self.paths.iter().map(|path| format!("list the logs in {}", stack.root.join(path).display())).collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let looked = join_all(self.paths.iter().map(|path| self.look(context.stack.root.join(path)))).await;
        let findings: Vec<Finding> = looked.into_iter().flatten().collect();
        Ok(StepReport::found(summary("observation", &findings), findings))
    }
}

impl LogRotation {
    async fn look(&self, path: PathBuf) -> Vec<Finding> {
        let subject = path.display().to_string();
        let listed = tokio::task::spawn_blocking({
            let path = path.clone();
            move || files::aged(&path)
        });
        match listed.await {
            Ok(Ok(files)) => self.judge(&subject, &files, clock::now()),
            Ok(Err(error)) => vec![unasked(subject, &error)],
            Err(error) => vec![Finding::unknown(subject, error.to_string())],
        }
    }

    fn judge(&self, subject: &str, files: &[Aged], now: DateTime<Utc>) -> Vec<Finding> {
        let name = |file: &Aged| file.path.to_string_lossy().into_owned();
        let (logs, packed): (Vec<&Aged>, Vec<&Aged>) = files
            .iter()
            .filter(|file| [".log", ".log.gz", ".log.zst"].iter().any(|end| name(file).ends_with(end)))
            .partition(|file| name(file).ends_with(".log"));
        let span = |given: Option<Span>, default| {
            TimeDelta::from_std(given.map_or(default, |s| s.0)).unwrap_or(TimeDelta::MAX)
        };
        let old = |files: &[&Aged], after: TimeDelta| -> Vec<Aged> {
            files.iter().filter(|file| now - file.modified > after).map(|file| (*file).clone()).collect()
        };
        let uncompressed = old(&logs, span(self.compressed_after, COMPRESSED_AFTER));
        let not_gone = old(&packed, span(self.gone_after, GONE_AFTER));
        vec![
            overdue(format!("{subject}, old logs"), "not compressed", &uncompressed, logs.len()),
            overdue(format!("{subject}, compressed logs"), "not deleted", &not_gone, packed.len()),
            newest(format!("{subject}, newest log"), &logs, now, span(self.quiet_after, QUIET_AFTER)),
        ]
    }
}

fn overdue(subject: String, what: &str, overdue: &[Aged], of: usize) -> Finding {
    let all = count(of as u64, "file");
    let Some(oldest) = overdue.iter().min_by_key(|file| file.modified) else {
        return Finding::good(subject, format!("{all}, none overdue")).value(0.0, Unit::Count);
    };
    let bytes = ByteSize(overdue.iter().map(|file| file.bytes).sum());
    let seen =
        format!("{} of {all} overdue and {what}, {bytes}; the oldest is {}", overdue.len(), oldest.path.display());
    Finding::warning(subject, seen)
        .value(overdue.len() as f64, Unit::Count)
        .hint("maint run weekly-logs, and see why it did not")
}

fn newest(subject: String, logs: &[&Aged], now: DateTime<Utc>, quiet: TimeDelta) -> Finding {
    let Some(newest) = logs.iter().max_by_key(|file| file.modified) else {
        return Finding::unknown(subject, "there is no log at all").hint("is this where the logs are?");
    };
    let old = (now - newest.modified).max(TimeDelta::zero());
    let seen = format!("{} was written {} ago", newest.path.display(), age(old));
    let finding = if old > quiet {
        let hint = "see whether its writer still has the old file open after a rotation: lsof +L1";
        Finding::warning(subject, seen).hint(hint)
    } else {
        Finding::good(subject, seen)
    };
    finding.value(old.num_seconds() as f64, Unit::Seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::finding::Band;

    #[test]
    fn what_is_overdue_is_named() {
        let now: DateTime<Utc> = "2026-08-31T18:00:00Z".parse().unwrap();
        let file = |name: &str, days| Aged { path: name.into(), modified: now - TimeDelta::days(days), bytes: 10 };
        let step = LogRotation { paths: Vec::new(), compressed_after: None, gone_after: None, quiet_after: None };
        let bands = |files: &[Aged]| step.judge("l", files, now).iter().map(|f| f.band).collect::<Vec<_>>();
        let well = [file("a.log", 0), file("b.log.gz", 20), file("b.txt", 900)];
        assert_eq!(bands(&well), [Band::Good, Band::Good, Band::Good]);
        let ill = [file("a.log", 9), file("b.log.gz", 40)];
        assert_eq!(bands(&ill), [Band::Warning, Band::Warning, Band::Warning]);
        assert_eq!(bands(&[])[2], Band::Unknown, "no log is no good sign");
    }
}
