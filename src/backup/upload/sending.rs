//! One copy on its way: every file, encrypted where the store wants it, then what says what lies there, then the manifest.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::{Destination, UploadError, decrypt_md, spool::Spool};
use crate::{
    adapters::{clock, host, store::StoreError},
    backup::{
        copies::{self, CopyState},
        verify::VerifiedSet,
    },
    model::{
        copy::{COPY_FILE, COPY_FORMAT, COPY_VERSION, CopiedFile, CopyList, DECRYPT_FILE, stays_plain},
        event::StepEvents,
        manifest::{FileDigest, HostFacts, MANIFEST_FILE, MANIFEST_SIGNATURE_FILE, SUMS_FILE},
        store::Deleted,
    },
    stream::{encrypt::Recipients, hash::Sha},
};

/// A copy that is being sent. The store has no manifest of it: nothing there counts yet.
pub(super) struct Sending<'a> {
    to: &'a Destination,
    set: Arc<VerifiedSet>,
    /// What was there when it began.
    before: &'a CopyState,
    cancel: &'a CancellationToken,
    events: &'a StepEvents,
    done: AtomicU64,
    total: u64,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        to: &'a Destination,
        set: Arc<VerifiedSet>,
        before: &'a CopyState,
        cancel: &'a CancellationToken,
        events: &'a StepEvents,
    ) -> Self {
        let total = set.files().iter().map(|f| f.bytes).sum();
        Self { to, set, before, cancel, events, done: AtomicU64::new(0), total }
    }

    pub(super) async fn run(self) -> Result<(), UploadError> {
        let mut list = self.list();
        match &self.to.recipients {
            None => {
                for file in self.set.files() {
                    self.put(&self.set.dir().join(&file.file), file).await?;
                    list.files.push(CopiedFile { plain: file.clone(), encrypted: None });
                }
                self.describe(&list).await?;
                self.commit().await
            }
            Some(recipients) => {
                list.encrypted_to = recipients.keys();
                let spool = Spool::open(&self.to.backup_dir, self.to.store.name(), &self.set, recipients)?;
                let spool = self.send_encrypted(spool, recipients, &mut list).await?;
                let words = decrypt_md::render(&list, self.set.manifest());
                list.own.push(self.put_bytes(DECRYPT_FILE, words.as_bytes()).await?);
                let own = self.describe(&list).await?;
                let mut sums = String::new();
                for file in list.stored().chain(&own).chain(&self.sealed()) {
                    sums += &format!("{}  {}\n", file.sha256, file.file);
                }
                self.put_bytes(SUMS_FILE, sums.as_bytes()).await?;
                self.commit().await?;
                spool.remove()
            }
        }
    }

    fn list(&self) -> CopyList {
        CopyList {
            format: COPY_FORMAT.into(),
            version: COPY_VERSION,
            stack: self.to.stack.clone(),
            series: self.set.manifest().series.clone(),
            set: self.set.name().to_owned(),
            manifest_sha256: self.set.sealed().sha256.clone(),
            store: self.to.store.name().to_owned(),
            encrypted_to: Vec::new(),
            host: HostFacts { name: host::name(), maint: env!("CARGO_PKG_VERSION").to_owned() },
            made: clock::now(),
            files: Vec::new(),
            own: Vec::new(),
        }
    }

    /// Encrypts and sends file after file; what an earlier upload sent stays as it is.
    async fn send_encrypted(
        &self,
        mut spool: Spool,
        recipients: &Recipients,
        list: &mut CopyList,
    ) -> Result<Spool, UploadError> {
        spool.check_space(self.set.files())?;
        for file in self.set.files() {
            if stays_plain(&file.file) {
                self.put(&self.set.dir().join(&file.file), file).await?;
                list.files.push(CopiedFile { plain: file.clone(), encrypted: None });
                continue;
            }
            spool.forget_unless(&file.file, |cipher| {
                self.before.objects.get(&cipher.file).is_some_and(|there| there.bytes == cipher.bytes)
            });
            let (set, to, wanted) = (self.set.clone(), recipients.clone(), file.clone());
            let (cancel, events) = (self.cancel.clone(), self.events.clone());
            let encrypting = tokio::task::spawn_blocking(move || {
                let spooled = spool.ciphertext(&set, &wanted, &to, &cancel, &events);
                spooled.map(|spooled| (spool, spooled))
            });
            let (back, spooled) = encrypting.await.map_err(|panic| UploadError::Thread(panic.to_string()))??;
            spool = back;
            if spooled.stored {
                self.tell(file.bytes, &file.file);
            } else {
                self.put(&spool.path(&spooled), &spooled.cipher).await?;
                spool.stored(&file.file)?;
            }
            list.files.push(CopiedFile { plain: file.clone(), encrypted: Some(spooled.cipher) });
        }
        Ok(spool)
    }

    /// Sends `copy.json`, and gives what it is.
    async fn describe(&self, list: &CopyList) -> Result<Vec<FileDigest>, UploadError> {
        let mut text = serde_json::to_vec_pretty(list)?;
        text.push(b'\n');
        Ok(vec![self.put_bytes(COPY_FILE, &text).await?])
    }

    /// What the manifest and its signature are, as they lie in every copy.
    fn sealed(&self) -> Vec<FileDigest> {
        let text = Some((MANIFEST_FILE, self.set.sealed().text.as_slice()));
        let signature = self.set.signature().map(|bytes| (MANIFEST_SIGNATURE_FILE, bytes));
        text.into_iter().chain(signature).map(|(file, bytes)| digest(file, bytes)).collect()
    }

    /// Sends the signature, then the manifest: from here on it is a copy.
    async fn commit(&self) -> Result<(), UploadError> {
        if let Some(signature) = self.set.signature() {
            self.put_bytes(MANIFEST_SIGNATURE_FILE, signature).await?;
        }
        let key = self.key(MANIFEST_FILE);
        self.to.store.put_bytes(&key, &self.set.sealed().text, true, self.cancel).await?;
        Ok(())
    }

    fn key(&self, file: &str) -> String {
        copies::set_key(&self.to.stack, self.set.manifest().series.as_str(), self.set.name(), file)
    }

    fn tell(&self, bytes: u64, file: &str) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.events.progress(done.min(self.total), Some(self.total), format!("sending {file}"));
    }

    /// Sends a file. What an upload that never ended left under its key is replaced: without a manifest it is no copy.
    async fn put(&self, path: &Path, file: &FileDigest) -> Result<(), UploadError> {
        let key = self.key(&file.file);
        let tell = |bytes| self.tell(bytes, &file.file);
        match self.to.store.put(&key, path, file, true, self.cancel, &tell).await {
            Err(StoreError::Changed { .. }) => {}
            put => return Ok(put.map(drop)?),
        }
        let gone = self.make_way(&key).await?;
        Ok(self.to.store.put(&key, path, file, gone, self.cancel, &tell).await.map(drop)?)
    }

    async fn put_bytes(&self, file: &str, bytes: &[u8]) -> Result<FileDigest, UploadError> {
        let key = self.key(file);
        match self.to.store.put_bytes(&key, bytes, true, self.cancel).await {
            Err(StoreError::Changed { .. }) => {
                let gone = self.make_way(&key).await?;
                self.to.store.put_bytes(&key, bytes, gone, self.cancel).await?;
            }
            put => drop(put?),
        }
        Ok(digest(file, bytes))
    }

    /// Removes a leftover; where the store keeps it against that, the new content becomes a version above it.
    async fn make_way(&self, key: &str) -> Result<bool, UploadError> {
        self.events.note(format!("{key}: replaces what an upload that never ended left there"));
        Ok(self.to.store.delete(key).await? == Deleted::Gone)
    }
}

fn digest(file: &str, bytes: &[u8]) -> FileDigest {
    FileDigest { file: file.to_owned(), bytes: bytes.len() as u64, sha256: Sha::of(bytes) }
}
