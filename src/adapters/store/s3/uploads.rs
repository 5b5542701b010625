//! Multipart uploads that stand open at the bucket: found, and aborted when nobody goes on with them.

use std::{collections::HashMap, path::Path};

use chrono::Days;
use tokio_util::sync::CancellationToken;

use super::{
    S3,
    put::Put,
    request::{Act, Failed, Pulse, Said},
};
use crate::adapters::{
    clock,
    store::{
        StoreError,
        journal::{self, Claim, Head},
    },
};

/// How long an upload may wait for somebody to go on with it.
const ABANDONED_AFTER: Days = Days::new(7);
/// Parts that were under way when an upload was aborted can keep it open: asked again, so often at most.
const ROUNDS: usize = 3;

impl S3 {
    /// The parts that the server has of an upload, with their tags; `None`: it does not know the upload.
    pub(super) async fn parts_of(&self, put: &Put<'_>, id: &str) -> Result<Option<HashMap<i32, String>>, StoreError> {
        let (act, full) = (put.act("asking for the parts of"), self.full(put.key));
        let (mut parts, mut after) = (HashMap::new(), None::<String>);
        loop {
            let asked = self.patiently(act, put.cancel, || {
                let request = self.client.list_parts().bucket(&self.settings.bucket).key(&full).upload_id(id);
                let request = request.set_part_number_marker(after.clone()).send();
                async { self.ask(act, &Pulse::default(), request).await }
            });
            let page = match asked.await {
                Ok(page) => page,
                Err(failed) if failed.said == Said::UnknownUpload => return Ok(None),
                Err(failed) => return Err(failed.error),
            };
            let known = page.parts().iter().filter_map(|part| Some((part.part_number()?, part.e_tag()?.to_owned())));
            parts.extend(known);
            match page.next_part_number_marker {
                Some(marker) if page.is_truncated == Some(true) => after = Some(marker),
                _ => return Ok(Some(parts)),
            }
        }
    }

    /// Aborts what a journal tells of, and what else stands open under its key: of an answer that was lost there is no id.
    pub(super) async fn forget_upload(&self, put: &Put<'_>) -> Result<(), StoreError> {
        let Some((head, _)) = put.claim.left()? else { return Ok(()) };
        self.forget(&put.claim, &head, put.cancel).await
    }

    async fn forget(&self, claim: &Claim, head: &Head, cancel: &CancellationToken) -> Result<(), StoreError> {
        if head.place != self.place() {
            tracing::warn!(store = %self.store, key = head.key, place = head.place, "an upload at another place stays open");
            return claim.clear();
        }
        if let Some(id) = &head.upload {
            self.abort(&head.key, id, cancel).await?;
        }
        for _ in 0..ROUNDS {
            let open = match self.open_uploads(&head.key, cancel).await {
                Ok(open) => open,
                Err(error @ (StoreError::Denied { .. } | StoreError::Refused { .. })) => {
                    // Without the permission only the upload whose id is known could be aborted.
                    tracing::warn!(store = %self.store, key = head.key, %error, "open uploads cannot be listed");
                    break;
                }
                Err(error) => return Err(error),
            };
            if open.is_empty() {
                break;
            }
            for id in open {
                self.abort(&head.key, &id, cancel).await?;
            }
        }
        claim.clear()
    }

    async fn abort(&self, key: &str, id: &str, cancel: &CancellationToken) -> Result<(), StoreError> {
        let (act, full) = (Act { operation: "aborting an upload of", key }, self.full(key));
        let aborted = self.patiently(act, cancel, || {
            let request = self.client.abort_multipart_upload().bucket(&self.settings.bucket).key(&full).upload_id(id);
            let request = request.send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        match aborted.await {
            Ok(_) | Err(Failed { error: StoreError::NotThere { .. }, .. }) => Ok(()),
            Err(failed) if failed.said == Said::UnknownUpload => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    /// The uploads that stand open under exactly this key.
    async fn open_uploads(&self, key: &str, cancel: &CancellationToken) -> Result<Vec<String>, StoreError> {
        let (act, full) = (Act { operation: "asking for uploads of", key }, self.full(key));
        let (mut open, mut after) = (Vec::new(), (None::<String>, None::<String>));
        loop {
            let asked = self.patiently(act, cancel, || {
                let request = self.client.list_multipart_uploads().bucket(&self.settings.bucket).prefix(&full);
                let request = request.set_key_marker(after.0.clone()).set_upload_id_marker(after.1.clone()).send();
                async { self.ask(act, &Pulse::default(), request).await }
            });
            let page = asked.await.map_err(|failed| failed.error)?;
            let here = page.uploads().iter().filter(|upload| upload.key() == Some(full.as_str()));
            open.extend(here.filter_map(|upload| upload.upload_id().map(str::to_owned)));
            match page.next_key_marker {
                Some(marker) if page.is_truncated == Some(true) => after = (Some(marker), page.next_upload_id_marker),
                _ => return Ok(open),
            }
        }
    }

    /// Aborts the uploads of this host that nobody will go on with; gives their keys.
    pub(in crate::adapters::store) async fn sweep(&self, uploads: &Path) -> Result<Vec<String>, StoreError> {
        let (mut swept, cancel) = (Vec::new(), CancellationToken::new());
        for path in journal::of_store(uploads, &self.store)? {
            let Some((head, _)) = journal::read(&path)? else { continue };
            let old = clock::now() > head.begun + ABANDONED_AFTER;
            if !old && head.source.exists() {
                continue;
            }
            let claim = match Claim::take_over(&path, &self.store, &head.key) {
                // It lives.
                Err(StoreError::Busy { .. }) => continue,
                claim => claim?,
            };
            self.forget(&claim, &head, &cancel).await?;
            swept.push(head.key);
        }
        Ok(swept)
    }
}
