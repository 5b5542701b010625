//! Audits: every set and copy read and compared, every slot looked for, and what the host has held against what backs it
//! up. Changes nothing.
//!
//! Each file looks at one thing and adds its findings; what they found out together is a [`Report`].

mod copies;
mod coverage;
mod fetched;
mod history;
mod levels;
mod local;
mod retention;
mod schedule;

use std::{path::PathBuf, time::Duration};

use tokio_util::sync::CancellationToken;

use super::verify;
use crate::{
    adapters::{clock, files::FileError, host, signature::Trust},
    model::{
        audit::{AUDIT_FORMAT, AUDIT_VERSION, Area, Finding, Report, Scope, SeriesPart, Severity},
        coverage::Captures,
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        ids::{JobName, SeriesName},
        manifest::{HostFacts, Level},
        period::PeriodKind,
        retention::Keep,
        schedule::Schedule,
        stack::Stack,
    },
    stream::encrypt::Identities,
};

/// What to do about a record that nobody can believe.
const ODD_RECORD: &str = "find out who wrote there; compare it with the record in another place";

/// What an audit is asked.
#[derive(Debug, Clone)]
pub struct AuditRequest<'a> {
    /// The host's stack.
    pub stack: &'a Stack,
    /// What each backup job promises.
    pub promises: Vec<Promise>,
    /// What the backup jobs capture of this host.
    pub captures: Vec<(JobName, Captures)>,
    /// How many sets are decoded to the end, in each place.
    pub sample: u32,
    /// What chooses them.
    pub seed: u64,
    /// The stores to ask; none: all.
    pub stores: Vec<String>,
    /// The keys that open encrypted copies.
    pub identities: Option<&'a Identities>,
    /// Ends of chains as somebody noted them elsewhere.
    pub heads: Vec<ExpectedHead>,
}

/// The end of a chain, as somebody noted it where this host cannot write.
#[derive(Debug, Clone)]
pub struct ExpectedHead {
    /// The series.
    pub series: SeriesName,
    /// SHA-256 of what was its newest manifest.
    pub manifest_sha256: String,
}

/// What a backup job promises of its series.
#[derive(Debug, Clone)]
pub struct Promise {
    /// The series.
    pub series: SeriesName,
    /// The job.
    pub job: JobName,
    /// When its slots are.
    pub schedule: Option<Schedule>,
    /// The zone of schedule and period.
    pub zone: chrono_tz::Tz,
    /// How long a set's period is.
    pub period: PeriodKind,
    /// How long a run may take.
    pub timeout: Duration,
    /// How far each set is verified.
    pub verify: Level,
    /// Which sets are kept here; `None`: all.
    pub keep: Option<Keep>,
    /// The stores that each set is copied to.
    pub stores: Vec<String>,
}

/// Why there is no report at all.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the audit was stopped")]
    Cancelled,
    #[error("{what} ended without a result")]
    Lost { what: &'static str },
}

impl Diagnose for AuditError {
    fn class(&self) -> Class {
        match self {
            // Without the list of sets nothing is known.
            Self::File(_) => Class::Unverifiable,
            Self::Cancelled => Class::Interrupted,
            Self::Lost { .. } => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Cancelled | Self::Lost { .. } => None,
        }
    }
}

/// An audit under way: what it has found so far.
struct Audit<'a> {
    request: &'a AuditRequest<'a>,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    now: chrono::DateTime<chrono::Utc>,
    trust: Option<Trust>,
    scope: Scope,
    findings: Vec<Finding>,
}

impl Audit<'_> {
    fn promise(&self, series: &SeriesName) -> Option<&Promise> {
        self.request.promises.iter().find(|p| p.series == *series)
    }

    fn series_dir(&self, series: &SeriesName) -> PathBuf {
        self.request.stack.backup_dir.join(series.as_str())
    }

    /// Reads the keys that are believed. Without them everything is said to be signed by nobody in particular.
    fn trust(&mut self) {
        let Some(path) = &self.request.stack.sign.trust else {
            let problem =
                "no trust anchor is configured: whether sets were made by who should make them was not checked";
            let finding = Finding::new(Severity::Note, Area::Signature, "trust anchor", problem);
            self.findings
                .push(finding.remedy("sign sets, and name the keys that are believed: [sign] key_file and trust"));
            return;
        };
        self.scope.trust = Some(path.display().to_string());
        match Trust::load(path) {
            Ok(trust) => self.trust = Some(trust),
            Err(error) => {
                let finding = Finding::new(Severity::Unchecked, Area::Signature, "trust anchor", chain(&error));
                self.findings.push(finding.remedy(error.hint().unwrap_or_default()));
            }
        }
    }
}

/// Audits a stack.
///
/// # Errors
/// When the sets cannot even be listed, or on cancellation; everything else is a finding.
pub async fn run(
    request: &AuditRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Report, AuditError> {
    let begun = clock::now();
    let mut audit = Audit {
        request,
        cancel,
        events,
        now: begun,
        trust: None,
        scope: Scope {
            backup_dir: request.stack.backup_dir.display().to_string(),
            seed: request.seed,
            sample: request.sample,
            ..Scope::default()
        },
        findings: Vec::new(),
    };
    audit.trust();
    // Reading is blocking work; nothing else of this audit runs beside it.
    let mut series = tokio::task::block_in_place(|| audit.read())?;
    audit.copies(&mut series).await?;
    tokio::task::block_in_place(|| series.iter().for_each(|part| audit.retention(part)));
    let coverage = audit.coverage().await;
    if cancel.is_cancelled() {
        return Err(AuditError::Cancelled);
    }
    let mut report = Report {
        format: AUDIT_FORMAT.into(),
        version: AUDIT_VERSION,
        stack: request.stack.name.clone(),
        host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
        timezone: request.stack.timezone.name().to_owned(),
        begun,
        finished: clock::now(),
        scope: audit.scope,
        series,
        coverage,
        findings: audit.findings,
    };
    report.arrange();
    Ok(report)
}

impl Audit<'_> {
    /// Everything that lies on this host. Blocking.
    fn read(&mut self) -> Result<Vec<SeriesPart>, AuditError> {
        let mut series = self.local()?;
        for part in &mut series {
            self.buried(part);
            self.chain(part);
            self.schedule(part);
            self.levels(part);
        }
        let known = |head: &&ExpectedHead| !series.iter().any(|part| part.series == head.series);
        for head in self.request.heads.iter().filter(known) {
            let subject = format!("series {}", head.series);
            let problem = format!("is not here: the manifest {} was once its newest", head.manifest_sha256);
            let finding = Finding::new(Severity::Tampered, Area::Chain, subject, problem);
            self.findings.push(finding.remedy("look for its sets in a store, and find out who removed them here"));
        }
        Ok(series)
    }
}

/// A part without its sets yet.
fn empty_part(series: &SeriesName, promise: Option<&Promise>) -> SeriesPart {
    SeriesPart {
        series: series.clone(),
        job: promise.map(|p| p.job.clone()),
        schedule: promise.and_then(|p| p.schedule.as_ref()).map(Schedule::describe),
        period: promise.map(|p| p.period),
        asks: promise.map(|p| p.verify),
        sets: Vec::new(),
        slots: Vec::new(),
        pruned: Vec::new(),
        head: None,
    }
}

/// The severity of what an error says of a set or copy.
fn severity(class: Class) -> Severity {
    if class == Class::Verification { Severity::Tampered } else { Severity::Unchecked }
}

/// What could not be read may be as it should be.
fn severity_of(finding: &verify::Finding) -> Severity {
    if finding.unknown { Severity::Unchecked } else { Severity::Tampered }
}

/// What to do about a set that is not as it was captured.
fn keep_it(set: &str) -> String {
    format!(
        "do not restore from it before you know why; keep it as it is, look for another copy, see: maint verify {set}"
    )
}

/// A finding about a set's content.
fn content(severity: Severity, set: &str, problem: String) -> Finding {
    let remedy = match severity {
        Severity::Tampered => keep_it(set),
        _ => format!("make it readable, then: maint verify {set}"),
    };
    Finding::of_set(severity, Area::Content, set, problem).remedy(remedy)
}
