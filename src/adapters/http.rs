//! Requests over HTTP: certificates always checked, nothing waited for without end, answers of limited size, and no URL in
//! an error: it may be a secret.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, Url, redirect};
use rustls::{ClientConfig, RootCertStore};

use super::{
    clock,
    roots::{Roots, RootsError},
};
use crate::model::{
    failure::{Class, Diagnose, chain},
    secret::Secret,
};

pub use reqwest::Method;

/// A host that is there takes a connection sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// Nobody sends a request in rings for a reason.
const MOST_REDIRECTS: usize = 5;

/// Why a request got no answer. Never carries the URL.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error(transparent)]
    Roots(#[from] RootsError),
    #[error("the URL cannot be used: {0}")]
    Url(String),
    #[error("the header {0} cannot be sent: it has characters that no header may have")]
    Header(String),
    #[error("no HTTP client can be made: {0}")]
    Client(String),
    #[error("no answer within {} s", within.as_secs_f64())]
    Late { within: Duration },
    #[error("its certificate is not to be trusted: {0}")]
    Certificate(String),
    #[error("no answer: {0}")]
    NoAnswer(String),
}

impl Diagnose for HttpError {
    fn class(&self) -> Class {
        match self {
            Self::Url(_) | Self::Header(_) => Class::Usage,
            Self::Roots(e) => e.class(),
            Self::Client(_) | Self::Certificate(_) => Class::Failed,
            Self::Late { .. } | Self::NoAnswer(_) => Class::Retryable,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Certificate(_) => Some("name the authority that signed it: ca_file = \"…\"".into()),
            Self::Roots(e) => e.hint(),
            _ => None,
        }
    }
}

/// What becomes of an answer that points elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redirects {
    /// It is the answer: a POST must not become a GET.
    Refused,
    /// It is followed, at most five times, and never from https to http or back.
    SameScheme,
}

/// How requests are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long everything may take, from the name's resolution to the last byte.
    pub within: Duration,
    /// The one certificate authority that is believed; `None`: the host's own.
    pub ca_file: Option<PathBuf>,
    /// What becomes of an answer that points elsewhere.
    pub redirects: Redirects,
    /// How much of an answer's body is read; the rest is left.
    pub most_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { within: Duration::from_secs(10), ca_file: None, redirects: Redirects::SameScheme, most_bytes: 4 << 20 }
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// GET, POST, …
    pub method: Method,
    /// Where to.
    pub url: &'a Secret,
    /// Further headers; a value may be a secret.
    pub headers: Vec<(&'a str, Secret)>,
    /// Content type and body.
    pub body: Option<(&'a str, Vec<u8>)>,
}

impl<'a> Request<'a> {
    /// A plain GET.
    pub fn get(url: &'a Secret) -> Self {
        Self { method: Method::GET, url, headers: Vec::new(), body: None }
    }

    /// A POST of `body`.
    pub fn post(url: &'a Secret, content_type: &'a str, body: Vec<u8>) -> Self {
        Self { method: Method::POST, body: Some((content_type, body)), ..Self::get(url) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: Secret) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body, up to the limit.
    pub body: Vec<u8>,
    /// Whether there was more of it.
    pub cut: bool,
    /// How long it took, until the last byte that was read.
    pub took: Duration,
}

impl Answer {
    /// 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same request may be accepted later: 408, 425, 429 and 5xx.
    pub fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 425 | 429 | 500..)
    }

    /// The body's first line for people, at most 200 characters, without control characters.
    pub fn first_line(&self) -> String {
        let text = String::from_utf8_lossy(&self.body);
        text.trim().lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
    }
}

/// A client; cheap to clone, made once per purpose.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client,
    settings: Settings,
}

impl Http {
    /// Makes a client; nobody is asked yet. Proxies are those of the environment (`HTTPS_PROXY`, `NO_PROXY`).
    ///
    /// # Errors
    /// When the certificate authority cannot be read.
    pub fn new(settings: Settings) -> Result<Self, HttpError> {
        let policy = match settings.redirects {
            Redirects::Refused => redirect::Policy::none(),
            Redirects::SameScheme => redirect::Policy::custom(same_scheme),
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls(settings.ca_file.as_deref())?)
            .connect_timeout(CONNECT_WITHIN.min(settings.within))
            .timeout(settings.within)
            .redirect(policy)
            .user_agent(concat!("maint/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| HttpError::Client(chain(&e.without_url())))?;
        Ok(Self { client, settings })
    }

    /// Sends a request and reads the answer. Any status is an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn send(&self, request: Request<'_>) -> Result<Answer, HttpError> {
        let url = Url::parse(request.url.reveal().trim()).map_err(|e| HttpError::Url(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::Url("expected https:// or http://".into()));
        }
        let mut sending = self.client.request(request.method, url);
        for (name, value) in &request.headers {
            let mut header = reqwest::header::HeaderValue::from_str(value.reveal().trim())
                .map_err(|_| HttpError::Header((*name).to_owned()))?;
            header.set_sensitive(true);
            sending = sending.header(*name, header);
        }
        if let Some((kind, body)) = request.body {
            sending = sending.header("content-type", kind).body(body);
        }
        let begun = clock::monotonic();
        let mut response = sending.send().await.map_err(|e| self.failed(e))?;
        let status = response.status().as_u16();
        let (mut body, mut cut) = (Vec::new(), false);
        while let Some(chunk) = response.chunk().await.map_err(|e| self.failed(e))? {
            let left = self.settings.most_bytes.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(left)]);
            if chunk.len() > left {
                cut = true;
                break;
            }
        }
        Ok(Answer { status, body, cut, took: begun.elapsed() })
    }

    fn failed(&self, error: reqwest::Error) -> HttpError {
        if error.is_timeout() {
            return HttpError::Late { within: self.settings.within };
        }
        let error = error.without_url();
        let text = chain(&error);
        match text.split_once("invalid peer certificate: ") {
            Some((_, why)) => HttpError::Certificate(why.to_owned()),
            // The layers above it say that a request was sent and a connection tried, which is known.
            None => HttpError::NoAnswer(innermost(&error).to_string()),
        }
    }
}

fn innermost<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a (dyn std::error::Error + 'static) {
    std::iter::successors(Some(error), |error| error.source()).last().unwrap_or(error)
}

fn same_scheme(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let other = attempt.previous().last().is_some_and(|from| from.scheme() != attempt.url().scheme());
    if other {
        return attempt.error("it points to another scheme, which is not followed");
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error("it points elsewhere again and again");
    }
    attempt.follow()
}

/// TLS that believes one authority, or those of the host.
fn tls(ca_file: Option<&Path>) -> Result<ClientConfig, HttpError> {
    let roots = match Roots::load(ca_file) {
        // Who asks without TLS needs none.
        Err(RootsError::NoneHere) => RootCertStore::empty(),
        loaded => loaded?.0,
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| HttpError::Client(e.to_string()))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
