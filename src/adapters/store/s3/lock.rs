//! Object Lock: asked for with what is sent, seen to be there, and told of when something cannot be deleted.

use aws_sdk_s3::{
    primitives::DateTime,
    types::{ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode},
};
use chrono::Utc;

use super::{
    S3, moment,
    put::Put,
    request::{Act, Pulse},
};
use crate::{
    adapters::{clock, store::StoreError},
    model::store::{LockMode, Stored},
};

impl S3 {
    /// The mode and end of the lock of what is sent now.
    pub(super) fn lock(&self) -> (Option<ObjectLockMode>, Option<DateTime>) {
        let Some(lock) = self.settings.object_lock else { return (None, None) };
        let mode = match lock.mode {
            LockMode::Governance => ObjectLockMode::Governance,
            LockMode::Compliance => ObjectLockMode::Compliance,
        };
        let until = clock::now() + chrono::Days::new(lock.days.into());
        (Some(mode), Some(DateTime::from_secs(until.timestamp())))
    }

    /// A server may take the wish for a lock and ignore it: what has none gets one, or the copy does not count.
    pub(super) async fn locked(&self, put: &Put<'_>, stored: Stored) -> Result<Stored, StoreError> {
        let (Some(mode), Some(until)) = self.lock() else { return Ok(stored) };
        if stored.kept_until.is_some() {
            return Ok(stored);
        }
        let (act, full) = (put.act("locking"), self.full(put.key));
        let mode = ObjectLockRetentionMode::from(mode.as_str());
        let retention = ObjectLockRetention::builder().mode(mode).retain_until_date(until).build();
        let locked = self.patiently(act, put.cancel, || {
            let request = self.client.put_object_retention().bucket(&self.settings.bucket).key(&full);
            let request = request.set_version_id(stored.version.clone()).retention(retention.clone()).send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        locked.await.map_err(|failed| failed.error)?;
        let told = self.head(act, put.cancel).await?.and_then(|found| found.kept_until);
        let kept_until = match told {
            Some(until) => Some(until),
            // The answer to HEAD tells of a lock only to those who may read it.
            None => self.locked_until(put.key, stored.version.as_deref()).await,
        };
        if kept_until.is_none() {
            return Err(self.changed(put.key, "the store took a lock of it, and has none"));
        }
        Ok(Stored { kept_until, ..stored })
    }

    /// Until when a version is locked; `None`: it is not, or cannot be asked.
    pub(super) async fn locked_until(&self, key: &str, version: Option<&str>) -> Option<chrono::DateTime<Utc>> {
        let (act, full) = (Act { operation: "asking for the lock of", key }, self.full(key));
        let request = self.client.get_object_retention().bucket(&self.settings.bucket).key(&full);
        let request = request.set_version_id(version.map(str::to_owned)).send();
        let answer = self.ask(act, &Pulse::default(), request).await.ok()?;
        answer.retention?.retain_until_date.as_ref().and_then(moment)
    }
}
