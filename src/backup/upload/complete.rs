//! Earlier sets of a series that a store lacks: made before the store was configured, or while it could not be reached.

use std::{path::Path, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{Destination, UploadError, Uploaded, spool};
use crate::{
    adapters::signature::Trust,
    backup::{
        copies,
        publish::Completeness,
        sets,
        verify::{self, WholeError},
    },
    model::{
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        ids::SeriesName,
        manifest::Level,
    },
};

/// What became of sets that lacked a copy.
#[derive(Debug, Default)]
pub struct Completion {
    /// Sets that have a copy now.
    pub sent: Vec<Uploaded>,
    /// Sets that could not be sent, by name, with why.
    pub failed: Vec<(String, UploadError)>,
    /// Sets that nobody got to, since the work was stopped.
    pub left: Vec<String>,
}

/// Sends every set of a series that the store lacks, newest first, and what was recorded since about those that it has. One that the store's retention let go is not sent again.
/// Each is read whole and compared before anything of it is sent.
///
/// # Errors
/// When the backup directory or the store cannot be listed, or another upload of the series lasts longer than `wait`.
pub async fn complete(
    to: &Destination,
    series: &SeriesName,
    trust: Option<Arc<Trust>>,
    wait: Duration,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Completion, UploadError> {
    let _lock = to.lock(series.as_str(), wait, cancel).await?;
    let series_dir = Completeness::Whole.series_dir(&to.backup_dir, series.as_str());
    let states = copies::find(&to.store, &to.stack, series.as_str()).await?;
    let has = |set: &str| states.iter().any(|s| s.set == set && (s.is_complete() || s.is_buried()));
    let (there, mut lacking): (Vec<_>, Vec<_>) =
        sets::of_series(&series_dir)?.into_iter().partition(|entry| has(&entry.name));
    for entry in &there {
        for state in states.iter().filter(|state| state.set == entry.name && !state.is_buried()) {
            to.send_records(&series_dir, series, &entry.name, state, cancel).await?;
        }
    }
    let names: Vec<_> = lacking.iter().map(|entry| entry.name.as_str()).collect();
    spool::sweep(&to.backup_dir, to.store.name(), series.as_str(), &names)?;
    sweep(to, events).await;
    // What is no set is for `maint backups` and the audit to tell.
    lacking.retain(|entry| entry.manifest.is_ok());
    lacking.sort_by_key(|entry| std::cmp::Reverse(entry.manifest.as_ref().map(|m| m.run.sealed).ok()));
    let mut done = Completion::default();
    for entry in lacking {
        if cancel.is_cancelled() {
            done.left.push(entry.name);
            continue;
        }
        match one(to, &entry.path, trust.clone(), cancel, events).await {
            Ok(uploaded) => done.sent.push(uploaded),
            Err(error) if error.class() == Class::Interrupted => done.left.push(entry.name),
            Err(error) => done.failed.push((entry.name, error)),
        }
    }
    Ok(done)
}

/// Takes back what the store has of uploads that nobody will go on with. What cannot be taken back now is no reason to fail:
/// it is tried again with the next set.
async fn sweep(to: &Destination, events: &StepEvents) {
    match to.store.sweep().await {
        Ok(keys) => keys.iter().for_each(|key| events.note(format!("{key}: took back an upload that never ended"))),
        Err(error) => events.note(format!("uploads that never ended could not be taken back: {}", chain(&error))),
    }
}

async fn one(
    to: &Destination,
    dir: &Path,
    trust: Option<Arc<Trust>>,
    cancel: &CancellationToken,
    events: &StepEvents,
) -> Result<Uploaded, UploadError> {
    let (path, inner, voice) = (dir.to_owned(), cancel.clone(), events.clone());
    // Its structure was verified before it was published; that its bytes are still those is what is asked here.
    let reading = tokio::task::spawn_blocking(move || -> Result<_, WholeError> {
        verify::whole(&path, Level::Checksum, trust.as_deref(), &inner, &voice)
    });
    let set = reading.await.map_err(|panic| UploadError::Thread(panic.to_string()))??;
    to.upload_locked(Arc::new(set), cancel, events).await
}
