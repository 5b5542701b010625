//! Puts one object: what stands there is compared first, what was sent is asked for afterwards.

use aws_sdk_s3::types::{ServerSideEncryption, StorageClass};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::{
    S3, body,
    body::Trouble,
    checksum::{self, Expected, Sum},
    moment,
    request::{Act, Failed, Pulse, Said},
};
use crate::{
    adapters::store::{
        Progress, StoreError,
        journal::Claim,
        work::{self, Source},
    },
    model::{
        manifest::FileDigest,
        parts::{self, Part, PartPlan},
        store::{Overwrites, Proof, ServerEncryption, Stored},
    },
};

/// Metadata: the length of the parts that the object was sent in, so that its composite checksum can be made again.
pub(super) const PART_BYTES: &str = "maint-part-bytes";
/// Metadata: the SHA-256 of the whole, for people; what is compared is the server's own.
pub(super) const SHA256: &str = "maint-sha256";

/// What is put, and for whom.
pub(in crate::adapters::store) struct Put<'a> {
    pub(in crate::adapters::store) key: &'a str,
    pub(in crate::adapters::store) source: Source,
    pub(in crate::adapters::store) digest: &'a FileDigest,
    pub(in crate::adapters::store) immutable: bool,
    pub(in crate::adapters::store) claim: Claim,
    pub(in crate::adapters::store) cancel: &'a CancellationToken,
    pub(in crate::adapters::store) progress: Progress<'a>,
}

impl Put<'_> {
    /// The digest of the whole.
    pub(super) fn sum(&self) -> Result<Sum, StoreError> {
        let what = || format!("`{}` is no SHA-256", self.digest.sha256);
        checksum::from_hex(&self.digest.sha256)
            .ok_or_else(|| StoreError::Source { path: self.source.path().to_owned(), what: what() })
    }

    /// The file is not what the digest says.
    pub(super) fn source_differs(&self, what: impl Into<String>) -> StoreError {
        StoreError::Source { path: self.source.path().to_owned(), what: what.into() }
    }

    pub(super) fn act(&self, operation: &'static str) -> Act<'_> {
        Act { operation, key: self.key }
    }
}

/// What a bucket tells about an object without sending it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) bytes: u64,
    pub(super) checksum: Option<String>,
    pub(super) version: Option<String>,
    pub(super) kept_until: Option<DateTime<Utc>>,
    part_bytes: Option<u64>,
}

/// What every way of creating an object says about it. A macro, for the SDK's builders have no common trait.
macro_rules! described {
    ($s3:expr, $request:expr, $plan:expr, $digest:expr) => {{
        let (lock, until) = $s3.lock();
        let (encryption, kms_key) = $s3.server_encryption();
        $request
            .set_object_lock_mode(lock)
            .set_object_lock_retain_until_date(until)
            .set_storage_class($s3.settings.storage_class.as_deref().map(StorageClass::from))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(kms_key)
            .content_type("application/octet-stream")
            .metadata($crate::adapters::store::s3::put::SHA256, &$digest.sha256)
            .metadata($crate::adapters::store::s3::put::PART_BYTES, $plan.part_bytes().to_string())
    }};
}
pub(super) use described;

impl S3 {
    /// Puts an object; see [`Store::put`](crate::adapters::store::Store::put).
    pub(in crate::adapters::store) async fn put(&self, put: &Put<'_>) -> Result<Stored, StoreError> {
        let plan = PartPlan::of(put.digest.bytes).map_err(|source| StoreError::TooLong {
            store: self.store.clone(),
            key: put.key.to_owned(),
            source,
        })?;
        if let Some(stored) = self.standing(put).await? {
            self.forget_upload(put).await?;
            (put.progress)(put.digest.bytes);
            return Ok(stored);
        }
        let expected = if put.digest.bytes <= parts::WHOLE {
            self.put_whole(put, plan).await?
        } else {
            self.put_parts(put, plan).await?
        };
        match expected {
            Sent::Taken => match self.standing(put).await? {
                Some(stored) => Ok(stored),
                None => Err(self.passing(put.act("completing"), "what was sent is gone; send it again".into()).error),
            },
            Sent::Now { expected, said } => self.confirm(put, &expected, said.as_deref()).await,
        }
    }

    /// What stands under the key, where it is what should; an error where it is something else and may not be replaced.
    async fn standing(&self, put: &Put<'_>) -> Result<Option<Stored>, StoreError> {
        let Some(found) = self.head(put.act("asking for"), put.cancel).await? else { return Ok(None) };
        match self.compare(put, &found).await? {
            Ok(proof) => Ok(Some(Stored { new: false, version: found.version, proof, kept_until: found.kept_until })),
            Err(what) if put.immutable => Err(self.changed(put.key, what)),
            Err(_) => Ok(None),
        }
    }

    /// Compares an object with what is to be there: by the server's checksum, else by its content.
    async fn compare(&self, put: &Put<'_>, found: &Found) -> Result<Result<Proof, String>, StoreError> {
        if found.bytes != put.digest.bytes {
            return Ok(Err(format!("it has {} bytes instead of {}", found.bytes, put.digest.bytes)));
        }
        if let Some(said) = &found.checksum {
            let whole = Expected::whole(&put.sum()?);
            if whole.agrees(said) {
                return Ok(Ok(Proof::Checksum));
            }
            let plan = found.part_bytes.and_then(|part| PartPlan::with_part(found.bytes, part));
            if let Some(plan) = plan.filter(|_| said.contains('-') || found.bytes > parts::WHOLE)
                && self.expected_of_parts(put, plan).await?.agrees(said)
            {
                return Ok(Ok(Proof::Checksum));
            }
        }
        // Sent by another tool or in other parts, or by a server that keeps no checksums: the content decides.
        let read = self.digest(put.key, put.cancel, &|_| ()).await?;
        Ok(work::difference(put.digest, read.bytes, &read.sha256).map_or(Ok(Proof::ReadBack), Err))
    }

    /// Sends a small object whole.
    async fn put_whole(&self, put: &Put<'_>, plan: PartPlan) -> Result<Sent, StoreError> {
        let (sum, act, full) = (put.sum()?, put.act("writing"), self.full(put.key));
        let part = Part { number: 1, offset: 0, bytes: put.digest.bytes };
        let trouble = Trouble::default();
        let length = i64::try_from(part.bytes).unwrap_or(i64::MAX);
        let sent = self.patiently(act, put.cancel, || async {
            let pulse = Pulse::default();
            let request = self.client.put_object().bucket(&self.settings.bucket).key(&full);
            let request = described!(self, request, plan, put.digest)
                .set_if_none_match(self.condition(put.immutable))
                .checksum_sha256(checksum::encode(&sum))
                .content_length(length)
                .body(body::of(&put.source, part, sum, &pulse, &trouble));
            let answer = self.ask(act, &pulse, request.send()).await;
            trouble.take().map_or(answer, |error| Err(Failed::of(error)))
        });
        let said = match sent.await {
            Ok(answer) => answer.checksum_sha256,
            // Also when an answer of ours was lost.
            Err(failed) if failed.said == Said::Taken => return Ok(Sent::Taken),
            Err(failed) => return Err(failed.error),
        };
        (put.progress)(put.digest.bytes);
        Ok(Sent::Now { expected: Expected::whole(&sum), said })
    }

    /// Asks what stands there now. An object of ours that is not what was sent is taken away again.
    async fn confirm(&self, put: &Put<'_>, expected: &Expected, said: Option<&str>) -> Result<Stored, StoreError> {
        let act = put.act("asking for");
        let Some(found) = self.head(act, put.cancel).await? else {
            return Err(self.changed(put.key, "it was sent, and is not there"));
        };
        let agrees = |said: &str| expected.agrees(said);
        let checksums_agree =
            said.is_none_or(agrees) && found.checksum.as_deref().is_some_and(agrees) && found.bytes == put.digest.bytes;
        // What is small is read back in any case: manifests, signatures, records.
        let proof = if checksums_agree && matches!(put.source, Source::File(_)) {
            Proof::Checksum
        } else {
            let read = self.digest(put.key, put.cancel, &|_| ()).await?;
            if let Some(what) = work::difference(put.digest, read.bytes, &read.sha256) {
                self.delete_found(put.key, &found).await?;
                return Err(self.changed(put.key, format!("{what}; it was taken away again")));
            }
            Proof::ReadBack
        };
        Ok(Stored { new: true, version: found.version, proof, kept_until: found.kept_until })
    }

    /// Whether the bucket itself refuses to write a key twice: what stands there is written again, and refused or not.
    pub(in crate::adapters::store) async fn overwrites(
        &self,
        key: &str,
        bytes: &[u8],
        cancel: &CancellationToken,
    ) -> Result<Overwrites, StoreError> {
        let (act, full) = (Act { operation: "writing a second time", key }, self.full(key));
        let again = self.patiently(act, cancel, || {
            let condition = self.condition(true);
            let request = self.client.put_object().bucket(&self.settings.bucket).key(&full);
            let request = request.set_if_none_match(condition.clone()).body(bytes.to_vec().into());
            async move {
                // A server that does not even take the condition is not written to without it.
                if condition.is_none() {
                    Ok(None)
                } else {
                    self.ask(act, &Pulse::default(), request.send()).await.map(Some)
                }
            }
        });
        match again.await {
            Ok(_) => Ok(Overwrites::Accepted),
            Err(failed) if failed.said == Said::Taken => Ok(Overwrites::Refused),
            Err(failed) => Err(failed.error),
        }
    }

    /// What the bucket has under a key, with its checksum; `None`: nothing.
    pub(super) async fn head(&self, act: Act<'_>, cancel: &CancellationToken) -> Result<Option<Found>, StoreError> {
        let full = self.full(act.key);
        let asked = self.patiently(act, cancel, || {
            let request = self.client.head_object().bucket(&self.settings.bucket).key(&full);
            let request = request.checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled).send();
            async { self.ask(act, &Pulse::default(), request).await }
        });
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(Failed { error: StoreError::NotThere { .. }, .. }) => return Ok(None),
            Err(failed) => return Err(failed.error),
        };
        let part_bytes = answer.metadata().and_then(|all| all.get(PART_BYTES)?.parse().ok());
        Ok(Some(Found {
            bytes: answer.content_length().and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            kept_until: answer.object_lock_retain_until_date().and_then(moment),
            checksum: answer.checksum_sha256,
            version: answer.version_id,
            part_bytes,
        }))
    }

    pub(super) fn server_encryption(&self) -> (Option<ServerSideEncryption>, Option<String>) {
        match &self.settings.encryption {
            None => (None, None),
            Some(ServerEncryption::Aes256) => (Some(ServerSideEncryption::Aes256), None),
            Some(ServerEncryption::Kms(key)) => (Some(ServerSideEncryption::AwsKms), key.clone()),
        }
    }
}

/// What became of sending.
pub(super) enum Sent {
    /// The store took it; `said` is its checksum of it, where it said one.
    Now { expected: Expected, said: Option<String> },
    /// Something stood under the key already.
    Taken,
}
