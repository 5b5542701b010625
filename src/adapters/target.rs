//! Something that is reached over HTTP and is asked again and again: its address, and who maint is there.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{
    http::{Answer, Http, HttpError, Request, Settings},
    secret::{self, SecretError},
};
use crate::model::{
    failure::{Class, Diagnose},
    secret::Secret,
    targets::{Login, Web},
};

/// Why nothing was learnt.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("it answered {status}{}", said(line))]
    Status { status: u16, line: String },
    #[error("its answer cannot be read: {0}")]
    Unreadable(String),
    #[error("it refused: {0}")]
    Refused(String),
}

fn said(line: &str) -> String {
    if line.is_empty() { String::new() } else { format!(": {line}") }
}

impl Diagnose for TargetError {
    fn class(&self) -> Class {
        Class::Unverifiable
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Http(e) => e.hint(),
            Self::Secret(e) => e.hint(),
            Self::Status { status: 401 | 403, .. } => {
                Some("tell maint who it is there: `token_file`, or `user` and `password_file`".into())
            }
            Self::Status { status: 404, .. } => Some("look at its url in maint.toml".into()),
            Self::Status { .. } | Self::Unreadable(_) | Self::Refused(_) => None,
        }
    }
}

/// A target, ready to be asked.
#[derive(Debug, Clone)]
pub struct Target {
    http: Http,
    url: String,
    authorization: Option<Secret>,
}

impl Target {
    /// Reads what the target needs; nobody is asked yet.
    ///
    /// # Errors
    /// When a secret or a certificate authority cannot be read.
    pub fn open(web: &Web) -> Result<Self, TargetError> {
        let authorization = match &web.login {
            None => None,
            Some(Login::Token(token)) => Some(Secret::new(format!("Bearer {}", secret::read(token)?.reveal()))),
            Some(Login::User { user, password }) => {
                let pair = format!("{user}:{}", secret::read(password)?.reveal());
                Some(Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair))))
            }
        };
        let settings = Settings { within: web.timeout, ca_file: web.ca_file.clone(), ..Settings::default() };
        Ok(Self { http: Http::new(settings)?, url: web.url.clone(), authorization })
    }

    /// The URL of a path, as findings show it.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Asks; any status is an answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn ask(&self, path: &str) -> Result<Answer, TargetError> {
        let url = Secret::new(self.url(path));
        let request = Request::get(&url);
        let request = match &self.authorization {
            Some(value) => request.header("authorization", value.clone()),
            None => request,
        };
        Ok(self.http.send(request).await?)
    }

    /// Asks, and reads the answer's JSON.
    ///
    /// # Errors
    /// When there is no answer, its status is not 2xx, or it is not what was asked for.
    pub async fn json<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, TargetError> {
        let answer = self.ask(path).await?;
        if !answer.is_success() {
            return Err(TargetError::Status { status: answer.status, line: answer.first_line() });
        }
        if answer.cut {
            return Err(TargetError::Unreadable("it is longer than any such answer should be".into()));
        }
        serde_json::from_slice(&answer.body).map_err(|e| TargetError::Unreadable(e.to_string()))
    }
}
