//! Reads objects: a body that breaks off goes on where it was, of the same version or not at all.

use std::{io::Write, path::Path};

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    S3, moment,
    request::{Act, Failed, Pulse, Said},
};
use crate::{
    adapters::{
        files::{AtomicFile, FileError},
        store::{Progress, StoreError, work},
    },
    model::{contents::hex, manifest::FileDigest, store::Object},
};

type Each<'a> = &'a mut (dyn FnMut(&[u8]) -> Result<(), StoreError> + Send);

/// How far a download is.
#[derive(Default)]
struct Position {
    done: u64,
    /// Length and tag of the version that was begun.
    version: Option<(u64, String)>,
    sha: Sha256,
}

impl S3 {
    /// Copies an object to a file of ours, whole or not at all.
    pub(in crate::adapters::store) async fn fetch(
        &self,
        key: &str,
        target: &Path,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<FileDigest, StoreError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let copy = AtomicFile::create(target.parent().unwrap_or(Path::new(".")), &name)?;
        let mut write =
            |chunk: &[u8]| Ok(copy.file().write_all(chunk).map_err(|e| FileError::new("writing", target, e))?);
        let digest = self.download(key, cancel, progress, &mut write).await?;
        let finished = tokio::task::spawn_blocking(move || copy.finish().map(drop)).await;
        finished.map_err(|e| StoreError::Thread { key: key.to_owned(), why: e.to_string() })??;
        Ok(digest)
    }

    /// Reads an object whole and gives its digest.
    pub(in crate::adapters::store) async fn digest(
        &self,
        key: &str,
        cancel: &CancellationToken,
        progress: Progress<'_>,
    ) -> Result<FileDigest, StoreError> {
        self.download(key, cancel, progress, &mut |_| Ok(())).await
    }

    /// Reads a small object whole.
    pub(in crate::adapters::store) async fn read(&self, key: &str, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let mut bytes = Vec::new();
        let long = || StoreError::Long { store: self.store.clone(), key: key.to_owned(), limit };
        let mut keep = |chunk: &[u8]| {
            bytes.extend_from_slice(chunk);
            if bytes.len() as u64 > limit { Err(long()) } else { Ok(()) }
        };
        match self.download(key, &CancellationToken::new(), &|_| (), &mut keep).await {
            Ok(_) => Ok(Some(bytes)),
            Err(StoreError::NotThere { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn download(
        &self,
        key: &str,
        cancel: &CancellationToken,
        progress: Progress<'_>,
        each: Each<'_>,
    ) -> Result<FileDigest, StoreError> {
        let act = Act { operation: "reading", key };
        let state = tokio::sync::Mutex::new((Position::default(), each));
        loop {
            let before = state.lock().await.0.done;
            let read = self.patiently(act, cancel, || async {
                let mut state = state.lock().await;
                let (position, each) = &mut *state;
                let at = position.done;
                match self.go_on(act, position, progress, *each).await {
                    // Bytes came: that is not the same failure again, and the patience begins anew.
                    Err(failed) if failed.passing && position.done > at => Ok(false),
                    read => read.map(|()| true),
                }
            });
            if read.await.map_err(|failed| failed.error)? {
                break;
            }
            tracing::debug!(store = %self.store, key, from = before, "a download goes on");
        }
        let (position, _) = state.into_inner();
        let file = work::file_name(key).to_owned();
        Ok(FileDigest { file, bytes: position.done, sha256: hex(&position.sha.finalize()) })
    }

    /// Asks for what is missing and reads it to its end.
    async fn go_on(
        &self,
        act: Act<'_>,
        position: &mut Position,
        progress: Progress<'_>,
        each: Each<'_>,
    ) -> Result<(), Failed> {
        let request = self.client.get_object().bucket(&self.settings.bucket).key(self.full(act.key));
        let request = match &position.version {
            Some((_, tag)) if position.done > 0 => request.range(format!("bytes={}-", position.done)).if_match(tag),
            _ => request,
        };
        let answer = match self.ask(act, &Pulse::default(), request.send()).await {
            Err(failed) if failed.said == Said::Taken => {
                return Err(Failed::of(self.changed(act.key, "it was replaced while it was read")));
            }
            answer => answer?,
        };
        let skip = self.agree(act, position, &answer)?;
        self.drain(act, position, skip, answer, progress, each).await?;
        match &position.version {
            Some((total, _)) if position.done < *total => {
                Err(self.passing(act, format!("it broke off after {} of {total} bytes", position.done)))
            }
            Some((total, _)) if position.done > *total => {
                Err(Failed::of(self.changed(act.key, format!("it goes on after its {total} bytes"))))
            }
            _ => Ok(()),
        }
    }

    /// Notes the version at the first answer; gives how many bytes a server sent again that knows no ranges.
    fn agree(&self, act: Act<'_>, position: &mut Position, answer: &GetObjectOutput) -> Result<u64, Failed> {
        let length = answer.content_length().and_then(|n| u64::try_from(n).ok());
        let length = length.ok_or_else(|| self.passing(act, "its answer has no length".into()))?;
        if position.done == 0 {
            position.version = Some((length, answer.e_tag().unwrap_or_default().to_owned()));
            return Ok(0);
        }
        let ranged = answer.content_range().is_some_and(|r| r.starts_with(&format!("bytes {}-", position.done)));
        Ok(if ranged { 0 } else { position.done })
    }

    async fn drain(
        &self,
        act: Act<'_>,
        position: &mut Position,
        mut skip: u64,
        mut answer: GetObjectOutput,
        progress: Progress<'_>,
        each: Each<'_>,
    ) -> Result<(), Failed> {
        loop {
            let chunk = match tokio::time::timeout(self.settings.answer_within, answer.body.next()).await {
                Err(_) => return Err(self.silent(act)),
                Ok(None) => return Ok(()),
                Ok(Some(chunk)) => chunk.map_err(|e| self.passing(act, crate::model::failure::chain(&e)))?,
            };
            let again = usize::try_from(skip).unwrap_or(usize::MAX).min(chunk.len());
            skip -= again as u64;
            let fresh = &chunk[again..];
            position.sha.update(fresh);
            each(fresh).map_err(Failed::of)?;
            position.done += fresh.len() as u64;
            progress(fresh.len() as u64);
        }
    }

    /// Every object whose key begins so, sorted.
    pub(in crate::adapters::store) async fn list(&self, prefix: &str) -> Result<Vec<Object>, StoreError> {
        let (act, full) = (Act { operation: "listing", key: prefix }, self.full(prefix));
        let (mut found, mut after, cancel) = (Vec::new(), None::<String>, CancellationToken::new());
        loop {
            let asked = self.patiently(act, &cancel, || {
                let request = self.client.list_objects_v2().bucket(&self.settings.bucket).prefix(&full);
                let request = request.set_continuation_token(after.clone()).send();
                async { self.ask(act, &Pulse::default(), request).await }
            });
            let page = asked.await.map_err(|failed| failed.error)?;
            found.extend(page.contents().iter().filter_map(|object| {
                Some(Object {
                    key: object.key()?.strip_prefix(&self.prefix)?.to_owned(),
                    bytes: object.size().and_then(|n| u64::try_from(n).ok())?,
                    modified: object.last_modified().and_then(moment)?,
                })
            }));
            match page.next_continuation_token {
                Some(token) if page.is_truncated == Some(true) => after = Some(token),
                _ => break,
            }
        }
        found.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(found)
    }
}
