//! Pins, and the word of somebody who has looked at what is unusual.

use std::path::{Path, PathBuf};

use super::{
    super::{
        anomaly, records,
        verify::{self, SealedManifest},
    },
    RetentionError,
};
use crate::{
    adapters::{
        lock::Hold,
        signature::{Signer, Trust},
    },
    model::{
        anomaly::Anomaly,
        record::{Body, Signed, pinned},
    },
};

/// A set that is there, and stays while it is marked.
struct Marked {
    series_dir: PathBuf,
    name: String,
    sealed: SealedManifest,
    records: Vec<Signed>,
    _hold: Hold,
}

impl Marked {
    fn open(set: &Path, trust: Option<&Trust>) -> Result<Self, RetentionError> {
        let (series_dir, name) = records::place(set)?;
        let gone = || RetentionError::Pruned { set: name.clone() };
        let hold = Hold::to_read(set)?.ok_or_else(gone)?;
        let sealed = verify::open(set)?;
        let records = records::read(&series_dir, &name, trust)?.current().cloned().collect();
        Ok(Self { series_dir, name, sealed, records, _hold: hold })
    }

    fn write(&self, body: Body, signer: Option<&Signer>) -> Result<PathBuf, RetentionError> {
        let record = records::make(&self.sealed.manifest.series, &self.name, &self.sealed.sha256, body);
        Ok(records::put(&self.series_dir, &record, signer)?)
    }
}

/// Keeps a set whatever retention says. Blocking.
///
/// # Errors
/// When it is not there, or the record cannot be written.
pub fn pin(
    set: &Path,
    reason: &str,
    trust: Option<&Trust>,
    signer: Option<&Signer>,
) -> Result<PathBuf, RetentionError> {
    Marked::open(set, trust)?.write(Body::Pin { reason: reason.to_owned() }, signer)
}

/// Leaves a pinned set to retention again. `None`: it was not pinned, and nothing was written. Blocking.
///
/// # Errors
/// When it is not there, or the record cannot be written.
pub fn unpin(set: &Path, trust: Option<&Trust>, signer: Option<&Signer>) -> Result<Option<PathBuf>, RetentionError> {
    let marked = Marked::open(set, trust)?;
    if pinned(&marked.records).is_none() {
        return Ok(None);
    }
    marked.write(Body::Unpin, signer).map(Some)
}

/// Says that somebody looked at what is unusual about a set; gives what that was. Nothing is written where nothing
/// stands. Blocking.
///
/// # Errors
/// When it is not there, or the record cannot be written.
pub fn acknowledge(
    set: &Path,
    reason: &str,
    trust: Option<&Trust>,
    signer: Option<&Signer>,
) -> Result<Vec<Anomaly>, RetentionError> {
    let marked = Marked::open(set, trust)?;
    let anomalies = anomaly::standing(&marked.sealed.manifest, &marked.records);
    if !anomalies.is_empty() {
        let told = anomalies.iter().map(ToString::to_string).collect();
        marked.write(Body::Ack { reason: reason.to_owned(), anomalies: told }, signer)?;
    }
    Ok(anomalies)
}
