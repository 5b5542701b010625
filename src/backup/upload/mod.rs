//! Sends verified sets to stores: the manifest last, so that a copy that can be seen is whole.
//!
//! The type is the promise: [`Destination::upload`] takes a [`VerifiedSet`], which only the verifier makes, and every file
//! is hashed again on its way out. Where a store has `encrypt_to`, each file is encrypted first, by itself, on this host.

mod complete;
mod decrypt_md;
mod error;
mod sending;
mod spool;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

pub use complete::{Completion, complete};
pub use error::UploadError;
use sending::Sending;

use crate::{
    adapters::{
        lock::Lock,
        signature::Signer,
        store::{Store, StoreError},
    },
    backup::{
        copies::{self, CopyState},
        records,
        verify::VerifiedSet,
    },
    model::{
        event::StepEvents,
        ids::SeriesName,
        manifest::MANIFEST_FILE,
        record::{Body, Copied},
        stack::Stack,
        store::Overwrites,
    },
    stream::encrypt::Recipients,
};

/// A store, opened to send to.
#[derive(Debug)]
pub struct Destination {
    store: Store,
    recipients: Option<Recipients>,
    stack: String,
    backup_dir: PathBuf,
    state_dir: PathBuf,
    signer: Option<Signer>,
}

/// A copy that is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Uploaded {
    /// The store.
    pub store: String,
    /// `series/set`.
    pub set: String,
    /// Where it is, without the store's own prefix.
    pub key: String,
    /// Whether it was sent now; `false`: it was there already, and is whole.
    pub new: bool,
    /// To whom it is encrypted.
    pub encrypted_to: Vec<String>,
    /// How many files lie there.
    pub files: u64,
    /// All of them together.
    pub bytes: u64,
    /// SHA-256 of its `copy.json`.
    pub list_sha256: String,
    /// Whether the store itself refuses to write a key twice.
    pub overwrites: Overwrites,
}

impl Destination {
    /// Opens a store of the configuration by its name.
    ///
    /// # Errors
    /// When there is none of this name, or it cannot be opened.
    pub async fn open(stack: &Stack, name: &str) -> Result<Self, UploadError> {
        let Some(config) = stack.stores.get(name) else {
            return Err(UploadError::NoStore { name: name.to_owned(), known: stack.stores.keys().cloned().collect() });
        };
        let recipients = match config.encrypt_to.as_slice() {
            [] => None,
            keys => Some(Recipients::parse(keys)?),
        };
        Ok(Self {
            store: Store::open(config, &stack.state_dir).await?,
            recipients,
            stack: stack.name.clone(),
            backup_dir: stack.backup_dir.clone(),
            state_dir: stack.state_dir.clone(),
            signer: stack.sign.key.as_ref().map(Signer::load).transpose()?,
        })
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// One upload of a series to a store at a time: two would have two ciphertexts of one file.
    pub(in crate::backup) async fn lock(
        &self,
        series: &str,
        wait: Duration,
        cancel: &CancellationToken,
    ) -> Result<Lock, UploadError> {
        let name = format!("upload-{}-{series}", self.store.name());
        let path = self.state_dir.join("locks").join(format!("{name}.lock"));
        let holder = format!("an upload, pid {}", std::process::id());
        tokio::select! {
            taken = Lock::acquire(&path, &holder, wait) => Ok(taken?),
            () = cancel.cancelled() => Err(StoreError::Cancelled { key: name }.into()),
        }
    }

    /// Sends a set, or finds that the store has it; goes on where an earlier upload died. The copy is then recorded beside
    /// the set. Waits up to `wait` for another upload of the series.
    ///
    /// # Errors
    /// When the store fails, has something else under the set's name, or the set changed since it was verified. No manifest
    /// is there then, so nothing counts as a copy.
    pub async fn upload(
        &self,
        set: Arc<VerifiedSet>,
        wait: Duration,
        cancel: &CancellationToken,
        events: &StepEvents,
    ) -> Result<Uploaded, UploadError> {
        let series = set.manifest().series.to_string();
        let _lock = self.lock(&series, wait, cancel).await?;
        self.upload_locked(set, cancel, events).await
    }

    async fn upload_locked(
        &self,
        set: Arc<VerifiedSet>,
        cancel: &CancellationToken,
        events: &StepEvents,
    ) -> Result<Uploaded, UploadError> {
        let (series, name) = (set.manifest().series.clone(), set.name().to_owned());
        let state = copies::state(&self.store, &self.stack, series.as_str(), &name).await?;
        let new = !state.is_complete();
        if new {
            Sending::new(self, set.clone(), &state, cancel, events).run().await?;
        }
        let uploaded = self.confirm(&set, new, cancel).await?;
        let (series_dir, _) = records::place(set.dir())?;
        let there = copies::recorded(&self.store, &self.stack, series.as_str(), &name).await?;
        self.send_records(&series_dir, &series, &name, &there, cancel).await?;
        self.record(&set, &uploaded)?;
        Ok(uploaded)
    }

    /// Looks at the copy as it lies there.
    async fn confirm(&self, set: &VerifiedSet, new: bool, cancel: &CancellationToken) -> Result<Uploaded, UploadError> {
        let (series, name) = (set.manifest().series.to_string(), set.name().to_owned());
        let (store, shown) = (self.store.name().to_owned(), format!("{series}/{name}"));
        let state = copies::state(&self.store, &self.stack, &series, &name).await?;
        let report = copies::check(&self.store, &self.stack, &series, &state, None).await?;
        let Some(opened) = report.opened.filter(|_| report.findings.is_empty()) else {
            let problems = report.findings.iter().map(|f| format!("{} {}", f.file, f.problem)).collect();
            return Err(UploadError::Damaged { store, set: shown, problems });
        };
        if opened.sealed.text != set.sealed().text {
            return Err(UploadError::Other { store, set: shown });
        }
        let manifest = copies::set_key(&self.stack, &series, &name, MANIFEST_FILE);
        let overwrites = self.store.overwrites(&manifest, &opened.sealed.text, cancel).await?;
        Ok(Uploaded {
            overwrites,
            list_sha256: opened.list_sha256,
            key: copies::set_prefix(&self.stack, &series, &name),
            store,
            set: shown,
            new,
            encrypted_to: opened.list.encrypted_to,
            files: state.objects.len() as u64,
            bytes: state.bytes(),
        })
    }

    /// Sends what is recorded beside a set and not there yet: drills, pins. Where a copy is buried, and where others are, is
    /// that store's own matter.
    async fn send_records(
        &self,
        series_dir: &Path,
        series: &SeriesName,
        set: &str,
        there: &CopyState,
        cancel: &CancellationToken,
    ) -> Result<(), UploadError> {
        for (file, bytes) in records::raw(series_dir, set)? {
            let own = file.starts_with("tombstone-") || file.starts_with("copy-");
            if !own && !there.records.contains(&file) {
                let key = copies::record(&self.stack, series.as_str(), set, &file);
                self.store.put_bytes(&key, &bytes, true, cancel).await?;
            }
        }
        Ok(())
    }

    /// Records the copy beside the set, once.
    fn record(&self, set: &VerifiedSet, uploaded: &Uploaded) -> Result<(), UploadError> {
        let (series_dir, name) = records::place(set.dir())?;
        if !series_dir.starts_with(&self.backup_dir) {
            return Ok(());
        }
        let known = records::read(&series_dir, &name, None)?;
        let is_this = |body: &Body| matches!(body, Body::Copy(copied) if copied.store == uploaded.store);
        if known.current().any(|signed| is_this(&signed.record.body)) {
            return Ok(());
        }
        let body = Body::Copy(Copied {
            store: uploaded.store.clone(),
            key: uploaded.key.clone(),
            encrypted_to: uploaded.encrypted_to.clone(),
            bytes: uploaded.bytes,
            list_sha256: Some(uploaded.list_sha256.clone()),
        });
        records::write(&series_dir, &set.manifest().series, &name, body, self.signer.as_ref())?;
        Ok(())
    }
}
