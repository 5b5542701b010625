//! Deletes objects for good where the bucket lets them go: a delete marker over a version is not "gone".

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    S3,
    put::Found,
    request::{Act, Failed, Pulse},
};
use crate::{
    adapters::{clock, store::StoreError},
    model::store::Deleted,
};

/// Versions of one key that are deleted at most: a key is written once.
const MOST_VERSIONS: usize = 20;

impl S3 {
    /// Deletes the object, version after version, until nothing stands under the key.
    pub(in crate::adapters::store) async fn delete(&self, key: &str) -> Result<Deleted, StoreError> {
        let (act, cancel) = (Act { operation: "asking for", key }, CancellationToken::new());
        for _ in 0..MOST_VERSIONS {
            let Some(found) = self.head(act, &cancel).await? else { return Ok(Deleted::Gone) };
            if let Some(until) = found.kept_until.filter(|until| *until > clock::now()) {
                return Ok(Deleted::KeptUntil(until));
            }
            match self.delete_found(key, &found).await {
                Err(error @ StoreError::Denied { .. }) => {
                    // The answer to HEAD tells of a lock only to those who may read it.
                    return match self.locked_until(key, &found).await {
                        Some(until) => Ok(Deleted::KeptUntil(until)),
                        None => Err(error),
                    };
                }
                deleted => deleted?,
            }
        }
        Err(self.changed(key, format!("{MOST_VERSIONS} versions of it were deleted, and there are more")))
    }

    /// Deletes one version.
    pub(super) async fn delete_found(&self, key: &str, found: &Found) -> Result<(), StoreError> {
        let (act, full, cancel) = (Act { operation: "deleting", key }, self.full(key), CancellationToken::new());
        let deleted = self.patiently(act, &cancel, || {
            let request = self.client.delete_object().bucket(&self.settings.bucket).key(&full);
            let request = request.set_version_id(found.version.clone()).send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        match deleted.await {
            Ok(_) | Err(Failed { error: StoreError::NotThere { .. }, .. }) => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    /// Until when a version is locked; `None`: it is not, or cannot be asked.
    async fn locked_until(&self, key: &str, found: &Found) -> Option<DateTime<Utc>> {
        let (act, full) = (Act { operation: "asking for the lock of", key }, self.full(key));
        let request = self.client.get_object_retention().bucket(&self.settings.bucket).key(&full);
        let request = request.set_version_id(found.version.clone()).send();
        let answer = self.ask(act, &Pulse::default(), request).await.ok()?;
        answer.retention?.retain_until_date.as_ref().and_then(super::moment)
    }
}
