//! The end of a backup job's tail: a copy of the set to every store of the job, and of earlier sets that lack one.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Run, Trouble, attempt::interrupted, too_long};
use crate::{
    adapters::{clock, signature::Trust},
    backup::{
        publish::{Completeness, Published},
        upload::{self, Completion, Destination, UploadError, Uploaded},
        verify,
    },
    model::{
        event::StepEvents,
        failure::{Class, Diagnose, chain},
        ids::SeriesName,
        manifest::Level,
        outcome::Outcome,
        units::{ByteSize, count},
    },
};

/// Where the stores' stages are numbered, behind verify, drill and publish.
pub(super) const FIRST_STAGE: usize = 3;

/// What became of one store's copies.
struct Sent {
    outcome: Outcome,
    summary: String,
    trouble: Option<Trouble>,
}

impl Sent {
    fn trouble(trouble: Trouble) -> Self {
        Self { outcome: trouble.outcome.clone(), summary: String::new(), trouble: Some(trouble) }
    }
}

impl Run<'_> {
    /// Sends the set to every store of the job. A store that fails does not keep the others from having theirs; the set stands
    /// in any case. Gives the worst of it.
    pub(super) async fn upload(&self, set: &Published, deadline: Instant) -> (Outcome, Option<Trouble>) {
        let stores = self.plan.job.backup.as_ref().map(|policy| policy.stores.clone()).unwrap_or_default();
        let (mut worst, mut told) = (Outcome::Ok, None);
        if self.plan.completeness == Completeness::Partial {
            return (worst, told);
        }
        for (place, store) in stores.iter().enumerate() {
            let sent = self.upload_to(store, FIRST_STAGE + place, set, deadline).await;
            let outcome = worst.clone().worst(sent.outcome);
            if outcome != worst {
                (worst, told) = (outcome, sent.trouble);
            }
        }
        // A trouble brings its own outcome; what is left is only worth a look.
        let rest = if told.is_some() { Outcome::Ok } else { worst };
        (rest, told)
    }

    async fn upload_to(&self, store: &str, place: usize, set: &Published, deadline: Instant) -> Sent {
        let (number, id) = match self.stage(&format!("copy-{store}"), place, &format!("sends it to the store {store}"))
        {
            Ok(stage) => stage,
            Err(trouble) => return Sent::trouble(trouble),
        };
        let begun = clock::monotonic();
        let (cancel, events) = (self.cancel.child_token(), StepEvents::new(self.sink.clone(), id.clone()));
        let mut sending = std::pin::pin!(self.send(store, set, deadline, &cancel, &events));
        let mut late = false;
        let sent = tokio::select! {
            sent = &mut sending => sent,
            () = tokio::time::sleep_until(deadline) => {
                cancel.cancel();
                late = true;
                sending.await
            }
        };
        let hint = format!("the set stands; send it: maint upload {}", self.shown(set));
        let mut sent = match sent {
            _ if self.cancel.is_cancelled() => Sent::trouble(interrupted()),
            Err(_) if late => Sent::trouble(too_long(self.plan.job.timeout, "job")),
            Err(error) => Sent::trouble(Trouble { hint: error.hint().or(Some(hint)), ..failed(store, &error) }),
            Ok((uploaded, completion)) => completed(store, &uploaded, &completion),
        };
        // What could not be reached is no verdict on the set: it was not done.
        if let (Outcome::Unknown(reason), Some(trouble)) = (&sent.outcome, &mut sent.trouble) {
            trouble.outcome = Outcome::Failed(reason.clone());
            sent.outcome = trouble.outcome.clone();
        }
        self.ended(number, &id, &sent.outcome, begun, std::mem::take(&mut sent.summary));
        sent
    }

    /// `series/set`, as commands take it.
    fn shown(&self, set: &Published) -> String {
        set.path.strip_prefix(&self.stack.backup_dir).unwrap_or(&set.path).display().to_string()
    }

    async fn send(
        &self,
        store: &str,
        set: &Published,
        deadline: Instant,
        cancel: &CancellationToken,
        events: &StepEvents,
    ) -> Result<(Uploaded, Completion), UploadError> {
        let to = Destination::open(&self.stack, store).await?;
        let trust = self.stack.sign.trust.as_deref().map(Trust::load).transpose()?.map(Arc::new);
        let (path, believed, inner, voice) = (set.path.clone(), trust.clone(), cancel.clone(), events.clone());
        // Read once more: what is sent is what is on the disk now, not what was there when it was verified.
        let reading = tokio::task::spawn_blocking(move || {
            verify::whole(&path, Level::Checksum, believed.as_deref(), &inner, &voice)
        });
        let whole = reading.await.map_err(|panic| UploadError::Thread(panic.to_string()))??;
        let wait = || deadline.saturating_duration_since(Instant::now());
        let uploaded = to.upload(Arc::new(whole), wait(), cancel, events).await?;
        let series: &SeriesName = &set.manifest.series;
        let completion = upload::complete(&to, series, trust, wait(), cancel, events).await?;
        Ok((uploaded, completion))
    }
}

fn failed(store: &str, error: &UploadError) -> Trouble {
    let mut trouble = Trouble::of(error);
    if let Outcome::Failed(reason) | Outcome::Unknown(reason) = &mut trouble.outcome {
        *reason = format!("no copy in {store}: {reason}");
    }
    trouble
}

/// The set has its copy; earlier ones may still lack theirs.
fn completed(store: &str, uploaded: &Uploaded, completion: &Completion) -> Sent {
    let mut summary = format!("{}, {}", count(uploaded.files, "file"), ByteSize(uploaded.bytes));
    if !uploaded.encrypted_to.is_empty() {
        summary += ", encrypted";
    }
    if !completion.sent.is_empty() {
        let names = completion.sent.iter().map(|sent| sent.set.as_str()).collect::<Vec<_>>().join(", ");
        summary += &format!("; also of earlier sets that had none: {names}");
    }
    // A set that is not what it was is worse than one that could not be sent today.
    let damaged = completion.failed.iter().find(|(_, error)| error.class() == Class::Verification);
    if let Some((set, error)) = damaged {
        let trouble = failed(store, error);
        let reason = format!("the earlier set {set}: {}", trouble.outcome.reason().unwrap_or_default());
        let trouble = Trouble { outcome: Outcome::Failed(reason), ..trouble };
        return Sent { outcome: trouble.outcome.clone(), summary, trouble: Some(trouble) };
    }
    let failed = completion.failed.iter().map(|(set, error)| format!("{set} ({})", chain(error)));
    let left: Vec<String> = failed.chain(completion.left.iter().cloned()).collect();
    let outcome = match left.as_slice() {
        [] => Outcome::Ok,
        left => Outcome::Warning(format!("earlier sets still lack a copy in {store}: {}", left.join(", "))),
    };
    Sent { outcome, summary, trouble: None }
}
