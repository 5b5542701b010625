//! Pings of a dead man's switch that speaks as healthchecks.io does (<https://healthchecks.io/docs/http_api/>): `/start`, the
//! bare URL for a success, `/fail`; the run's id pairs a start with its end.

use std::collections::BTreeMap;

use super::{NotifyError, cut, read};
use crate::{
    adapters::http::{Answer, HttpError},
    model::{
        notification::Message,
        notify::{Channel, JOB_MARK},
        secret::{Secret, SecretSource},
    },
};

/// What such a server keeps of a body.
const LONGEST_BODY: usize = 9000;

/// Where the start of a run is told.
pub(super) fn started(
    channel: &Channel,
    url: &SecretSource,
    slugs: &BTreeMap<String, String>,
    job: &str,
    run: &str,
) -> Result<Secret, NotifyError> {
    ping(channel, url, slugs, job, Some("start"), Some(run))
}

/// Where the end of a run is told.
pub(super) fn ended(
    channel: &Channel,
    url: &SecretSource,
    slugs: &BTreeMap<String, String>,
    message: &Message,
) -> Result<Secret, NotifyError> {
    let what = &message.what;
    let end = what.state.is_failure().then_some("fail");
    ping(channel, url, slugs, &what.about, end, what.run.as_deref())
}

/// What a person who looks there sees.
pub(super) fn body(message: &Message) -> Vec<u8> {
    cut(&message.text(), LONGEST_BODY).into_bytes()
}

/// Such servers answer 200 to a ping that belongs to no check, and say so in the body only.
pub(super) fn accepted(answer: &Answer) -> Result<(), NotifyError> {
    super::accepted(answer)?;
    let text = answer.first_line();
    match text.starts_with("OK (") {
        true => Err(NotifyError::NoSuchCheck { text }),
        false => Ok(()),
    }
}

fn ping(
    channel: &Channel,
    url: &SecretSource,
    slugs: &BTreeMap<String, String>,
    job: &str,
    end: Option<&str>,
    run: Option<&str>,
) -> Result<Secret, NotifyError> {
    let text = read(url)?;
    let text = text.reveal().trim();
    let one_job = matches!(channel.jobs.as_slice(), [only] if only.text() == job);
    if !text.contains(JOB_MARK) && !one_job {
        return Err(NotifyError::Shared);
    }
    let text = text.replace(JOB_MARK, slugs.get(job).map_or(job, String::as_str));
    let mut url = reqwest::Url::parse(&text).map_err(|e| HttpError::Url(e.to_string()))?;
    if let Some(end) = end {
        let mut path = url.path_segments_mut().map_err(|()| HttpError::Url("expected https://host/…".into()))?;
        path.pop_if_empty().push(end);
    }
    if let Some(run) = run {
        url.query_pairs_mut().append_pair("rid", run);
    }
    Ok(Secret::new(url.into()))
}
