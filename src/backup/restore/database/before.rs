//! What a database holds before another one takes its place: dumped, verified, and laid down like a set.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_util::sync::CancellationToken;

use super::{DatabaseError, DatabaseRequest, Replace};
use crate::{
    adapters::{clock, host, signature::Signer},
    backup::{
        publish::{self, Published},
        seal::{self, SealError, SetFacts},
        staging::{self, Staging},
        verify,
    },
    capture::dump::{self, DumpError, DumpRequest, Dumped},
    model::{
        contents::Codec,
        event::StepEvents,
        failure::{Class, Diagnose},
        ids::{self, RunId},
        manifest::{HostFacts, Level, RunFacts, Trigger},
        secret::Secret,
    },
    stream::{StreamError, frames::Packing},
};

/// As a job's dump by default.
const ZSTD_LEVEL: i32 = 2;
/// What the manifest of such a dump names as its series, job and step.
const NAMES: [&str; 3] = ["replaced", "restore", "before"];

/// Where the dump of a database goes that is about to be replaced.
#[derive(Debug, Clone)]
pub struct DumpFirst {
    /// Below it the dump is made, and nothing of it is seen before it was verified.
    pub staging: PathBuf,
    /// It becomes a directory in this one, called after the database and the instant.
    pub dir: PathBuf,
    /// The stack's name.
    pub stack: String,
    /// The host's secret.
    pub host_secret: Secret,
    /// Signs it, where the configuration has a key: or restoring it would be refused.
    pub signer: Option<Arc<Signer>>,
}

/// Why a database was not dumped before it was to be replaced.
#[derive(Debug, thiserror::Error)]
pub enum BeforeError {
    #[error(transparent)]
    Dump(#[from] DumpError),
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error(transparent)]
    Verify(#[from] verify::VerifyError),
    #[error("making a place for it in {}", dir.display())]
    Place { dir: PathBuf, source: crate::adapters::lock::LockError },
    #[error("the names of its set: {problem}")]
    Names { problem: String },
}

impl Diagnose for BeforeError {
    fn class(&self) -> Class {
        match self {
            Self::Dump(e) if e.class() == Class::Interrupted => Class::Interrupted,
            Self::Stream(e) if e.class() == Class::Interrupted => Class::Interrupted,
            Self::Verify(e) if e.class() == Class::Interrupted => Class::Interrupted,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Dump(e) => e.hint(),
            Self::Stream(e) => e.hint(),
            Self::Seal(e) => e.hint(),
            Self::Verify(e) => e.hint(),
            Self::Place { source, .. } => source.hint(),
            Self::Names { .. } => None,
        }
    }
}

impl From<crate::adapters::files::FileError> for BeforeError {
    fn from(error: crate::adapters::files::FileError) -> Self {
        Self::Stream(error.into())
    }
}

/// Dumps what has the name now, if that was asked for; gives where it stands. Nothing is changed by it.
pub(super) async fn dump(
    request: &DatabaseRequest<'_>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Option<Published>, DatabaseError> {
    let Some(Replace::Dump(place)) = request.replace else { return Ok(None) };
    let made = carry_out(request, place, cancel, events).await;
    let failed = |source| DatabaseError::Before { name: request.name.to_owned(), source: Box::new(source) };
    made.map(Some).map_err(failed)
}

async fn carry_out(
    request: &DatabaseRequest<'_>,
    place: &DumpFirst,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Published, BeforeError> {
    let (run, started) = (clock::run_id(), clock::now());
    let at = |source| BeforeError::Place { dir: place.staging.clone(), source };
    // What killed restores left there is in nobody's way, but takes room.
    let _ = staging::sweep(&place.staging);
    let staging = Staging::create(&place.staging, run).map_err(at)?;
    let period = started.format("%Y%m%dT%H%M%SZ").to_string();
    let Dumped { artifact, tools } = captured(request, place, (run, staging.dir(), &period), cancel, events).await?;
    let [series, job, _] = NAMES;
    let names = |e: ids::NameError| BeforeError::Names { problem: e.to_string() };
    let facts = SetFacts {
        stack: place.stack.clone(),
        series: series.parse().map_err(names)?,
        period: period.clone(),
        job: job.parse().map_err(names)?,
        run: RunFacts {
            id: run,
            trigger: Trigger::Manual,
            slot: None,
            attempt: 1,
            started,
            sealed: started,
            millis: 0,
            timezone: "UTC".into(),
        },
        previous: None,
        anomalies: Vec::new(),
        host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
        tools,
    };
    let (cancel, events, dir, signer) = (cancel.clone(), events.clone(), place.dir.clone(), place.signer.clone());
    let name = format!("{}-{period}", ids::in_file_name(request.name));
    let laid = tokio::task::spawn_blocking(move || {
        let verified = verify::fresh(staging, vec![artifact], Level::Structure, &cancel, &events)?;
        Ok(publish::beside(seal::seal(verified, facts, signer.as_deref())?, &dir, &name)?)
    });
    let ended = |_| StreamError::damaged(&place.dir, "the thread that writes it ended early");
    laid.await.map_err(ended)?
}

async fn captured(
    request: &DatabaseRequest<'_>,
    place: &DumpFirst,
    (run, staging, period): (RunId, &Path, &str),
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Dumped, BeforeError> {
    let [_, _, step] = NAMES;
    let step = step.parse().map_err(|e: ids::NameError| BeforeError::Names { problem: e.to_string() })?;
    let stem = format!("{step}-{}-{period}", ids::in_file_name(request.name));
    let dump = DumpRequest {
        server: request.server,
        docker: request.docker,
        database: request.name,
        run,
        step: &step,
        staging,
        artifact: format!("{stem}.sql.{}", Codec::Zstd.extension()),
        properties: format!("{stem}.properties.sql"),
        packing: Packing { codec: Codec::Zstd, level: ZSTD_LEVEL, workers: host::cores().saturating_sub(2) },
        count_rows: true,
        host_secret: &place.host_secret,
    };
    Ok(dump::capture(&dump, cancel, events).await?)
}
