//! One request to a bucket: how long it may take, what its failure means, and when it is tried again.

use std::{
    error::Error,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use aws_sdk_s3::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use super::S3;
use crate::{
    adapters::{clock, store::StoreError},
    model::failure::chain,
};

const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(15);
/// However long each of them took.
const LEAST_ATTEMPTS: u32 = 4;
/// Codes of a server that is not well now, or busy.
const UNWELL: [&str; 9] = [
    "InternalError",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "RequestTimeout",
    "RequestLimitExceeded",
    "OperationAborted",
    "ConditionalRequestConflict",
];
/// Codes for bytes that changed on their way; Garage says `InvalidDigest`.
const DAMAGED: [&str; 4] = ["BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"];

/// What an answer means beyond its error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// Something stands under the key already.
    Taken,
    /// The upload is not known: it was completed, aborted or forgotten.
    UnknownUpload,
    /// It is done, in words that nobody understands.
    Nothing,
    /// None of these.
    Other,
}

/// A failed attempt.
#[derive(Debug)]
pub(super) struct Failed {
    /// What it was.
    pub(super) error: StoreError,
    /// What else the server said by it.
    pub(super) said: Said,
    /// Whether another attempt may go better.
    pub(super) passing: bool,
}

impl Failed {
    /// A failure that no attempt changes.
    pub(super) fn of(error: StoreError) -> Self {
        Self { error, said: Said::Other, passing: false }
    }
}

/// Beats as long as bytes flow.
#[derive(Debug, Clone, Default)]
pub(super) struct Pulse(Arc<AtomicU64>);

impl Pulse {
    pub(super) fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn beats(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What a request does, to what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Act<'a> {
    pub(super) operation: &'static str,
    pub(super) key: &'a str,
}

impl S3 {
    /// Tries until it works, fails for good, or was tried for long enough.
    pub(super) async fn patiently<T, F>(
        &self,
        act: Act<'_>,
        cancel: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Failed>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let begun = clock::monotonic();
        let waits = ExponentialBuilder::default().with_min_delay(FIRST_WAIT).with_max_delay(LONGEST_WAIT);
        let mut waits = waits.with_jitter().without_max_times().build();
        let mut attempts = 0;
        loop {
            let answer = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(cancelled(act)),
                answer = attempt() => answer,
            };
            attempts += 1;
            let failed = match answer {
                Ok(value) => return Ok(value),
                Err(failed) => failed,
            };
            let patient = attempts < LEAST_ATTEMPTS || begun.elapsed() < self.settings.retry_for;
            if !failed.passing || !patient {
                return Err(failed);
            }
            tracing::debug!(store = %self.store, key = act.key, error = %chain(&failed.error), "trying again");
            let wait = waits.next().unwrap_or(LONGEST_WAIT);
            tokio::select! {
                () = cancel.cancelled() => return Err(cancelled(act)),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One attempt: sorted when it fails, given up when neither bytes flow nor an answer comes.
    pub(super) async fn ask<T, E>(
        &self,
        act: Act<'_>,
        pulse: &Pulse,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failed>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        self.ask_within(self.settings.answer_within, act, pulse, request).await
    }

    /// As [`ask`](Self::ask), for requests that take a server longer.
    pub(super) async fn ask_within<T, E>(
        &self,
        within: Duration,
        act: Act<'_>,
        pulse: &Pulse,
        request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failed>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let mut request = std::pin::pin!(request);
        let mut seen = pulse.beats();
        loop {
            match tokio::time::timeout(within, &mut request).await {
                Ok(answer) => return answer.map_err(|error| self.sort(act, &error)),
                Err(_) if pulse.beats() != seen => seen = pulse.beats(),
                Err(_) => return Err(self.silent(act)),
            }
        }
    }

    /// The server said nothing for too long.
    pub(super) fn silent(&self, act: Act<'_>) -> Failed {
        let within = humantime::format_duration(self.settings.answer_within);
        self.passing(act, format!("no answer within {within}"))
    }

    /// A failure that another attempt may change.
    pub(super) fn passing(&self, act: Act<'_>, why: String) -> Failed {
        let (store, operation, key) = (self.store.clone(), act.operation, act.key.to_owned());
        Failed { error: StoreError::Unreachable { store, operation, key, why }, said: Said::Other, passing: true }
    }

    /// What stands under a key is not what should.
    pub(super) fn changed(&self, key: &str, what: impl Into<String>) -> StoreError {
        StoreError::Changed { store: self.store.clone(), key: key.to_owned(), what: what.into() }
    }

    fn sort<E>(&self, act: Act<'_>, error: &SdkError<E, HttpResponse>) -> Failed
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        if !matches!(error, SdkError::ServiceError(_)) {
            let failed = self.passing(act, chain(error));
            let passing = match error {
                // What cannot be sent today cannot be sent by trying again: no keys, no region, a certificate of nobody.
                SdkError::ConstructionFailure(_) => false,
                SdkError::DispatchFailure(e) => e.is_io() || e.is_timeout() || e.is_user() || e.as_other().is_some(),
                _ => true,
            };
            return Failed { passing, ..failed };
        }
        let status = error.raw_response().map_or(0, |answer| answer.status().as_u16());
        let code = match (error.code().unwrap_or_default(), status) {
            ("", 412) => "PreconditionFailed".to_owned(),
            ("", 404) => "NotFound".to_owned(),
            (code, _) => code.to_owned(),
        };
        let message = error.message().unwrap_or_default();
        let why = format!("{code}{}{message} (HTTP {status})", if message.is_empty() { "" } else { ": " });
        let said = match code.as_str() {
            "PreconditionFailed" => Said::Taken,
            "NoSuchUpload" => Said::UnknownUpload,
            "" if status == 200 => Said::Nothing,
            _ => Said::Other,
        };
        let (store, operation, key) = (self.store.clone(), act.operation, act.key.to_owned());
        let unwell = UNWELL.contains(&code.as_str()) || status >= 500 && status != 501 || matches!(status, 408 | 429);
        let passing = unwell || DAMAGED.contains(&code.as_str());
        let error = match code.as_str() {
            "NoSuchBucket" => StoreError::NoBucket { store, bucket: self.settings.bucket.clone() },
            "NoSuchKey" | "NotFound" | "NoSuchVersion" => StoreError::NotThere { store, key },
            _ if unwell || said == Said::Nothing => StoreError::Unreachable { store, operation, key, why },
            _ if matches!(status, 401 | 403) => StoreError::Denied { store, operation, key, why },
            _ => StoreError::Refused { store, operation, key, why },
        };
        // A server that does not know conditions: the next attempt goes without one.
        let unconditional = status == 501 && self.conditional.swap(false, Ordering::Relaxed);
        Failed { error, said, passing: passing || unconditional }
    }
}

pub(super) fn cancelled(act: Act<'_>) -> Failed {
    Failed::of(StoreError::Cancelled { key: act.key.to_owned() })
}
