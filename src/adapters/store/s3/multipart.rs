//! Sends a large object in parts, several at once; what a dead process has sent is not sent again.

use std::collections::HashMap;

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, StorageClass};
use futures_util::{StreamExt, stream};
use sha2::{Digest, Sha256};
use tokio::{sync::mpsc, task::JoinHandle};

use super::{
    S3,
    body::{self, Trouble},
    checksum::{self, Expected, Sum},
    put::{Put, Sent, described},
    request::{Act, Failed, Pulse, Said},
};
use crate::{
    adapters::{
        clock,
        files::FileError,
        store::{
            StoreError,
            journal::{Head, Journal, SentPart},
            work::{CHUNK, Source},
        },
    },
    model::{
        contents::hex,
        manifest::FileDigest,
        parts::{Part, PartPlan},
    },
};

/// Putting parts together may take a server many times as long as taking one.
const COMPLETION: u32 = 10;

/// An upload under way.
struct Upload {
    id: String,
    plan: PartPlan,
    journal: Journal,
    /// What the server has of it, by number.
    sent: HashMap<i32, SentPart>,
}

/// A part of the file, with its digest.
#[derive(Debug, Clone, Copy)]
struct Hashed {
    part: Part,
    sum: Sum,
}

impl S3 {
    /// Sends the object, and leaves nothing behind unless it can go on later.
    pub(super) async fn put_parts(&self, put: &Put<'_>, plan: PartPlan) -> Result<Sent, StoreError> {
        let result = self.try_put_parts(put, plan).await;
        match &result {
            // The server cannot be told now, or the operator wants it to go on later: the journal stays.
            Err(StoreError::Unreachable { .. } | StoreError::Cancelled { .. } | StoreError::Thread { .. }) => {}
            Ok(_) => self.forget_upload(put).await?,
            Err(_) => {
                if let Err(error) = self.forget_upload(put).await {
                    tracing::warn!(store = %self.store, key = put.key, %error, "an upload was not aborted; the next one does");
                }
            }
        }
        result
    }

    async fn try_put_parts(&self, put: &Put<'_>, plan: PartPlan) -> Result<Sent, StoreError> {
        let mut upload = match self.resume(put, plan).await? {
            Some(upload) => upload,
            None => self.begin(put, plan).await?,
        };
        let mut parts = self.send_parts(put, &mut upload).await?;
        parts.sort_by_key(|(part, _)| part.number);
        let expected = Expected::of_parts(&put.sum()?, parts.iter().map(|(_, sum)| sum));
        self.complete(put, &upload.id, &parts, expected).await
    }

    fn journal_head(&self, put: &Put<'_>, plan: PartPlan) -> Head {
        Head {
            store: self.store.clone(),
            place: self.place(),
            key: put.key.to_owned(),
            source: put.source.path().to_owned(),
            bytes: put.digest.bytes,
            sha256: put.digest.sha256.clone(),
            part_bytes: plan.part_bytes(),
            begun: clock::now(),
            upload: None,
        }
    }

    /// The upload that a journal tells of, where the server still knows it; what else it tells of is aborted.
    async fn resume(&self, put: &Put<'_>, wanted: PartPlan) -> Result<Option<Upload>, StoreError> {
        let Some((head, journaled)) = put.claim.left()? else { return Ok(None) };
        let plan = PartPlan::with_part(head.bytes, head.part_bytes);
        if let (Some(id), Some(plan), true) = (&head.upload, plan, head.is_same(&self.journal_head(put, wanted)))
            && let Some(there) = self.parts_of(put, id).await?
        {
            let known = journaled.into_iter().filter(|part| there.get(&part.number) == Some(&part.tag));
            let sent: HashMap<_, _> = known.map(|part| (part.number, part)).collect();
            let mut kept: Vec<_> = sent.values().cloned().collect();
            kept.sort_by_key(|part| part.number);
            let journal = put.claim.write(&head, &kept)?;
            tracing::info!(store = %self.store, key = put.key, parts = kept.len(), "an upload goes on");
            return Ok(Some(Upload { id: id.clone(), plan, journal, sent }));
        }
        self.forget_upload(put).await?;
        Ok(None)
    }

    /// Asks for an upload; the journal knows of the question before the server does.
    async fn begin(&self, put: &Put<'_>, plan: PartPlan) -> Result<Upload, StoreError> {
        let (act, full) = (put.act("beginning to send"), self.full(put.key));
        let mut head = self.journal_head(put, plan);
        put.claim.write(&head, &[])?;
        let begun = self.patiently(act, put.cancel, || {
            let request = self.client.create_multipart_upload().bucket(&self.settings.bucket).key(&full);
            let request = described!(self, request, plan, put.digest)
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_type(ChecksumType::Composite);
            async { self.ask(act, &Pulse::default(), request.send()).await }
        });
        let id = begun.await.map_err(|failed| failed.error)?.upload_id.filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| self.refused(act, "its answer has no upload id"))?;
        head.upload = Some(id.clone());
        let journal = put.claim.write(&head, &[])?;
        Ok(Upload { id, plan, journal, sent: HashMap::new() })
    }

    /// Sends what the server does not have. The whole must have its digest, or nothing is put together.
    async fn send_parts(&self, put: &Put<'_>, upload: &mut Upload) -> Result<Vec<(SentPart, Sum)>, StoreError> {
        let (hashed, whole) = hash_parts(put.source.clone(), upload.plan, put.digest);
        let (id, sent) = (upload.id.as_str(), &upload.sent);
        let queue = stream::unfold(hashed, |mut hashed| async { hashed.recv().await.map(|part| (part, hashed)) });
        let sending = queue.map(|hashed| async move {
            let known = sent.get(&hashed.part.number).filter(|part| part.sha256 == hex(&hashed.sum));
            let part = match known {
                Some(part) => part.clone(),
                None => self.send_part(put, id, hashed).await?,
            };
            Ok::<_, StoreError>((part, hashed, known.is_some()))
        });
        let mut sending = std::pin::pin!(sending.buffer_unordered(self.settings.parts_in_flight.into()));
        let mut done = Vec::new();
        while let Some(part) = sending.next().await {
            let (part, hashed, known) = part?;
            if !known {
                upload.journal.add(&part)?;
            }
            (put.progress)(hashed.part.bytes);
            done.push((part, hashed.sum));
        }
        let gone = |e: tokio::task::JoinError| StoreError::Thread { key: put.key.to_owned(), why: e.to_string() };
        if let Some(what) = whole.await.map_err(gone)?? {
            return Err(put.source_differs(what));
        }
        Ok(done)
    }

    /// Sends one part; the server's checksum of it must be ours.
    async fn send_part(&self, put: &Put<'_>, id: &str, hashed: Hashed) -> Result<SentPart, StoreError> {
        let (act, full, sum) = (put.act("sending a part of"), self.full(put.key), checksum::encode(&hashed.sum));
        let trouble = Trouble::default();
        let length = i64::try_from(hashed.part.bytes).unwrap_or(i64::MAX);
        let sent = self.patiently(act, put.cancel, || async {
            let pulse = Pulse::default();
            let request = self.client.upload_part().bucket(&self.settings.bucket).key(&full).upload_id(id);
            let request = request.part_number(hashed.part.number).checksum_sha256(&sum).content_length(length);
            let request = request.body(body::of(&put.source, hashed.part, hashed.sum, &pulse, &trouble));
            let answer = self.ask(act, &pulse, request.send()).await;
            if let Some(error) = trouble.take() {
                return Err(Failed::of(error));
            }
            let answer = answer?;
            if let Some(said) = answer.checksum_sha256().filter(|said| *said != sum) {
                let what = format!("the store says that part {} has SHA-256 {said}, not {sum}", hashed.part.number);
                return Err(Failed { passing: true, ..Failed::of(self.changed(put.key, what)) });
            }
            answer.e_tag.ok_or_else(|| Failed::of(self.refused(act, "its answer has no tag")))
        });
        let tag = sent.await.map_err(|failed| failed.error)?;
        Ok(SentPart { number: hashed.part.number, sha256: hex(&hashed.sum), tag })
    }

    /// Has the parts put together. An answer that was lost is found again by what stands there then.
    async fn complete(
        &self,
        put: &Put<'_>,
        id: &str,
        parts: &[(SentPart, Sum)],
        expected: Expected,
    ) -> Result<Sent, StoreError> {
        let (act, full) = (put.act("completing"), self.full(put.key));
        let parts = parts.iter().map(|(part, sum)| {
            CompletedPart::builder()
                .part_number(part.number)
                .e_tag(&part.tag)
                .checksum_sha256(checksum::encode(sum))
                .build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let completed = self.patiently(act, put.cancel, || {
            let request = self.client.complete_multipart_upload().bucket(&self.settings.bucket).key(&full);
            let request = request.upload_id(id).multipart_upload(parts.clone());
            let request = request.set_if_none_match(self.condition(put.immutable));
            let within = self.settings.answer_within * COMPLETION;
            async move { self.ask_within(within, act, &Pulse::default(), request.send()).await }
        });
        match completed.await {
            Ok(answer) => Ok(Sent::Now { expected, said: answer.checksum_sha256 }),
            Err(failed) if failed.said == Said::Taken || failed.said == Said::UnknownUpload => Ok(Sent::Taken),
            Err(failed) => Err(failed.error),
        }
    }

    fn refused(&self, act: Act<'_>, why: &str) -> StoreError {
        let (store, operation, key) = (self.store.clone(), act.operation, act.key.to_owned());
        StoreError::Refused { store, operation, key, why: why.to_owned() }
    }

    /// What the server's checksum of an object must be that was sent in these parts.
    pub(super) async fn expected_of_parts(&self, put: &Put<'_>, plan: PartPlan) -> Result<Expected, StoreError> {
        let (mut hashed, whole) = hash_parts(put.source.clone(), plan, put.digest);
        let mut sums = Vec::new();
        while let Some(part) = hashed.recv().await {
            sums.push(part.sum);
            if put.cancel.is_cancelled() {
                return Err(StoreError::Cancelled { key: put.key.to_owned() });
            }
        }
        let gone = |e: tokio::task::JoinError| StoreError::Thread { key: put.key.to_owned(), why: e.to_string() };
        match whole.await.map_err(gone)?? {
            Some(what) => Err(put.source_differs(what)),
            None => Ok(Expected::of_parts(&put.sum()?, sums.iter())),
        }
    }
}

/// Reads a file once, in order: every part with its digest; at the end how the whole differs from its own.
fn hash_parts(
    source: Source,
    plan: PartPlan,
    digest: &FileDigest,
) -> (mpsc::Receiver<Hashed>, JoinHandle<Result<Option<String>, StoreError>>) {
    // One part ahead, so that it is still in the page cache when it is sent.
    let (tell, hashed) = mpsc::channel(1);
    let digest = digest.clone();
    let thread = tokio::task::spawn_blocking(move || {
        let failed = |e| FileError::new("reading", source.path(), e);
        let (mut input, mut whole, mut buffer) = (source.open()?, Sha256::new(), vec![0; CHUNK]);
        for part in plan.parts() {
            let (mut sha, mut left) = (Sha256::new(), part.bytes);
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
                let read = input.read(&mut buffer[..most]).map_err(failed)?;
                if read == 0 {
                    return Ok(Some("it is shorter than it was".into()));
                }
                sha.update(&buffer[..read]);
                whole.update(&buffer[..read]);
                left -= read as u64;
            }
            if tell.blocking_send(Hashed { part, sum: sha.finalize().into() }).is_err() {
                return Ok(None);
            }
        }
        if input.read(&mut buffer).map_err(failed)? > 0 {
            return Ok(Some("it is longer than it was".into()));
        }
        let sha256 = hex(&whole.finalize());
        Ok((sha256 != digest.sha256).then(|| format!("its SHA-256 is {sha256} instead of {}", digest.sha256)))
    });
    (hashed, thread)
}
