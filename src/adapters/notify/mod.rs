//! Ways to tell somebody: Slack, a webhook, e-mail, and heartbeats. Each sends one message once; trying again is the
//! caller's. URLs and passwords are read when they are used, and stand in no error.

mod email;
mod heartbeat;
mod slack;
mod webhook;

use std::{path::Path, time::Duration};

use super::{
    http::{Answer, Http, HttpError, Redirects, Request, Settings},
    roots::RootsError,
    secret::{self, SecretError},
};
use crate::model::{
    failure::{Class, Diagnose},
    notification::Message,
    notify::{Channel, ChannelKind},
    secret::{Secret, SecretSource},
};

/// As much of an answer as is looked at.
const MOST_OF_AN_ANSWER: usize = 16 << 10;

/// Why a channel did not take a message. Never carries a secret.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("it answered {status}{}", said(text))]
    Refused { status: u16, text: String, may_pass: bool },
    #[error("it took the ping, but not for a check of its own{}", said(text))]
    NoSuchCheck { text: String },
    #[error("its URL must be https://: whoever reads it on the way can write there")]
    Plain,
    #[error("its URL has no {{job}}, and it is not of one job alone: pings of several jobs would be taken for one")]
    Shared,
    #[error("the message cannot be written: {0}")]
    Message(String),
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error("{what}")]
    Mail { what: String, class: Class },
    #[error("not done within {} s", within.as_secs_f64())]
    Late { within: Duration },
}

fn said(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(": {text}") }
}

impl Diagnose for NotifyError {
    fn class(&self) -> Class {
        match self {
            Self::Secret(e) => e.class(),
            Self::Http(e) => e.class(),
            Self::Refused { may_pass: true, .. } | Self::Late { .. } => Class::Retryable,
            Self::Refused { .. } | Self::NoSuchCheck { .. } | Self::Message(_) => Class::Failed,
            Self::Roots(e) => e.class(),
            Self::Plain | Self::Shared => Class::Usage,
            Self::Mail { class, .. } => *class,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(e) => e.hint(),
            Self::Http(e) => e.hint(),
            Self::Roots(e) => e.hint(),
            Self::Refused { status: 401 | 403 | 404 | 410, .. } => {
                Some("the URL or what stands in its header is no longer right; make a new one there".into())
            }
            Self::NoSuchCheck { .. } => Some("make the check there, or correct the URL or the job's slug".into()),
            Self::Shared => Some("put {job} into the URL, or name its one job: jobs = [\"…\"]".into()),
            _ => None,
        }
    }
}

/// Sends a message. `id` is the delivery's: the same one when it is sent again, so that a receiver can tell.
///
/// # Errors
/// When the channel did not take it, or nobody can say whether it did.
pub async fn send(channel: &Channel, id: &str, message: &Message) -> Result<(), NotifyError> {
    match &channel.kind {
        ChannelKind::Slack { url, ca_file } => {
            let url = secret::read(url)?;
            if !is_private(&url) {
                return Err(NotifyError::Plain);
            }
            let request = Request::post(&url, "application/json", slack::body(message)?);
            accepted(&client(channel, ca_file.as_deref())?.send(request).await?)
        }
        ChannelKind::Webhook { url, header, hmac, ca_file } => {
            let url = secret::read(url)?;
            let request = webhook::request(&url, header.as_ref(), hmac.as_ref(), id, message)?;
            accepted(&client(channel, ca_file.as_deref())?.send(request).await?)
        }
        ChannelKind::Email(mail) => email::send(mail, channel.within, id, message).await,
        ChannelKind::Heartbeat { url, slugs, ca_file } => {
            let url = heartbeat::ended(channel, url, slugs, message)?;
            let request = Request::post(&url, "text/plain; charset=utf-8", heartbeat::body(message));
            heartbeat::accepted(&client(channel, ca_file.as_deref())?.send(request).await?)
        }
    }
}

/// Tells a heartbeat that a run began; any other channel is told nothing.
///
/// # Errors
/// When it did not take it.
pub async fn started(channel: &Channel, job: &str, run: &str) -> Result<(), NotifyError> {
    let ChannelKind::Heartbeat { url, slugs, ca_file } = &channel.kind else { return Ok(()) };
    let url = heartbeat::started(channel, url, slugs, job, run)?;
    let request = Request::post(&url, "text/plain; charset=utf-8", Vec::new());
    heartbeat::accepted(&client(channel, ca_file.as_deref())?.send(request).await?)
}

fn client(channel: &Channel, ca_file: Option<&Path>) -> Result<Http, HttpError> {
    Http::new(Settings {
        within: channel.within,
        ca_file: ca_file.map(Path::to_owned),
        redirects: Redirects::Refused,
        most_bytes: MOST_OF_AN_ANSWER,
    })
}

fn accepted(answer: &Answer) -> Result<(), NotifyError> {
    if answer.is_success() {
        return Ok(());
    }
    Err(NotifyError::Refused { status: answer.status, text: answer.first_line(), may_pass: answer.may_pass() })
}

/// Whether nobody on the way can read a URL: TLS, or never off this host.
fn is_private(url: &Secret) -> bool {
    let Ok(url) = reqwest::Url::parse(url.reveal().trim()) else { return true };
    let loopback = url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())
    });
    url.scheme() == "https" || loopback
}

fn read(source: &SecretSource) -> Result<Secret, NotifyError> {
    Ok(secret::read(source)?)
}

/// At most so many characters; what is cut is seen to be.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}
