//! Asks a bucket whether it would serve as the store that the configuration wants; changes nothing.

use tokio_util::sync::CancellationToken;

use super::{
    S3,
    request::{Act, Failed, Pulse},
};
use crate::adapters::store::StoreError;

impl S3 {
    /// What the bucket is, in words.
    pub(in crate::adapters::store) async fn probe(&self, cancel: &CancellationToken) -> Result<String, StoreError> {
        let act = Act { operation: "listing", key: &self.prefix };
        let listed = self.patiently(act, cancel, || {
            let request = self.client.list_objects_v2().bucket(&self.settings.bucket).prefix(&self.prefix);
            let request = request.max_keys(1).send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        listed.await.map_err(|failed| failed.error)?;
        let mut found = format!("bucket {} answers", self.settings.bucket);
        if let Some(lock) = self.settings.object_lock {
            self.has_lock(cancel).await?;
            found.push_str(&format!(", and locks what is sent for {} days", lock.days));
        }
        Ok(found)
    }

    /// Object Lock can be used only in a bucket that was made with it.
    async fn has_lock(&self, cancel: &CancellationToken) -> Result<(), StoreError> {
        let act = Act { operation: "asking for Object Lock of", key: &self.settings.bucket };
        let asked = self.patiently(act, cancel, || {
            let request = self.client.get_object_lock_configuration().bucket(&self.settings.bucket).send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        let enabled = match asked.await {
            Ok(answer) => answer.object_lock_configuration.and_then(|lock| lock.object_lock_enabled).is_some(),
            Err(Failed { error: StoreError::NotThere { .. } | StoreError::Refused { .. }, .. }) => false,
            Err(failed) => return Err(failed.error),
        };
        if enabled {
            return Ok(());
        }
        let problem = format!("object_lock is set, and the bucket {} has no Object Lock", self.settings.bucket);
        Err(StoreError::Settings { store: self.store.clone(), problem })
    }
}
