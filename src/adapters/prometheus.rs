//! A Prometheus server: queries at an explicit time, with an explicit timeout.
//!
//! HTTP API: <https://prometheus.io/docs/prometheus/latest/querying/api/>. Values are strings there (`NaN`, `+Inf`); an
//! empty vector is no data, and whoever asks must say so.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::target::{Target, TargetError};
use crate::model::targets;

/// A server, ready to be asked.
#[derive(Debug, Clone)]
pub struct Prometheus {
    target: Target,
    timeout: String,
}

/// Labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One element of an instant vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// Its labels.
    pub labels: Labels,
    /// Its value.
    pub value: f64,
}

/// One series of a range.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Seconds since 1970, and the value then.
    pub points: Vec<(f64, f64)>,
}

/// An answer, and what the server warned of: it may not be whole then.
#[derive(Debug, Clone, PartialEq)]
pub struct Answered<T> {
    /// The answer.
    pub result: T,
    /// The warnings.
    pub warnings: Vec<String>,
}

/// An alert that Prometheus itself has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Alert {
    /// Its labels.
    pub labels: Labels,
    /// Its annotations.
    #[serde(default)]
    pub annotations: Labels,
    /// `pending` or `firing`.
    pub state: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<T> {
    status: String,
    data: Option<T>,
    error: Option<String>,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<Instant>),
    Matrix(Vec<Range>),
    Scalar((f64, String)),
    String(serde::de::IgnoredAny),
}

#[derive(Deserialize)]
struct Instant {
    metric: Labels,
    value: (f64, String),
}

#[derive(Deserialize)]
struct Range {
    metric: Labels,
    values: Vec<(f64, String)>,
}

#[derive(Deserialize)]
struct Alerts {
    alerts: Vec<Alert>,
}

/// A value as the API writes it.
fn number(text: &str) -> Result<f64, TargetError> {
    // Rust reads `NaN`, `+Inf` and `-Inf` as well.
    text.parse().map_err(|_| TargetError::Unreadable(format!("`{text}` is not a number")))
}

fn seconds(at: DateTime<Utc>) -> String {
    format!("{}.{:03}", at.timestamp(), at.timestamp_subsec_millis())
}

fn encoded(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

impl Prometheus {
    /// Reads what the server needs; nobody is asked yet.
    ///
    /// # Errors
    /// As [`Target::open`].
    pub fn open(config: &targets::Prometheus) -> Result<Self, TargetError> {
        let timeout = format!("{}ms", config.web.timeout.as_millis());
        Ok(Self { target: Target::open(&config.web)?, timeout })
    }

    async fn ask<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<Answered<T>, TargetError> {
        let answer = self.target.ask(path).await?;
        let read: Result<Envelope<T>, _> = serde_json::from_slice(&answer.body);
        match read {
            // A query that is wrong is a 400 or 422 with the reason in JSON.
            Ok(Envelope { error: Some(error), .. }) => Err(TargetError::Refused(error)),
            Ok(Envelope { data: Some(data), warnings, status, .. }) if status == "success" && answer.is_success() => {
                Ok(Answered { result: data, warnings })
            }
            Err(error) if answer.is_success() => Err(TargetError::Unreadable(error.to_string())),
            Ok(_) | Err(_) => Err(TargetError::Status { status: answer.status, line: answer.first_line() }),
        }
    }

    /// Asks for the state at a time. A scalar is a sample without labels.
    ///
    /// # Errors
    /// When there is no answer, or the query is refused.
    pub async fn query(&self, query: &str, at: DateTime<Utc>) -> Result<Answered<Vec<Sample>>, TargetError> {
        let path = format!("/api/v1/query?query={}&time={}&timeout={}", encoded(query), seconds(at), self.timeout);
        let Answered { result, warnings } = self.ask(&path).await?;
        let result = match result {
            Data::Vector(samples) => samples
                .into_iter()
                .map(|s| Ok(Sample { labels: s.metric, value: number(&s.value.1)? }))
                .collect::<Result<_, TargetError>>()?,
            Data::Scalar((_, value)) => vec![Sample { labels: Labels::new(), value: number(&value)? }],
            Data::Matrix(_) | Data::String(_) => {
                return Err(TargetError::Unreadable("the query gives no instant vector".into()));
            }
        };
        Ok(Answered { result, warnings })
    }

    /// Asks for what was between two times, every `step`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn range(
        &self,
        query: &str,
        (from, to): (DateTime<Utc>, DateTime<Utc>),
        step: TimeDelta,
    ) -> Result<Answered<Vec<Series>>, TargetError> {
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={}&step={}&timeout={}",
            encoded(query),
            seconds(from),
            seconds(to),
            step.num_seconds(),
            self.timeout
        );
        let Answered { result, warnings } = self.ask(&path).await?;
        let Data::Matrix(series) = result else {
            return Err(TargetError::Unreadable("the answer is no range".into()));
        };
        let series = series.into_iter().map(|s| {
            let points = s.values.into_iter().map(|(at, value)| Ok((at, number(&value)?)));
            Ok(Series { labels: s.metric, points: points.collect::<Result<_, TargetError>>()? })
        });
        Ok(Answered { result: series.collect::<Result<_, TargetError>>()?, warnings })
    }

    /// The alerts that are pending or firing.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn alerts(&self) -> Result<Vec<Alert>, TargetError> {
        Ok(self.ask::<Alerts>("/api/v1/alerts").await?.result.alerts)
    }
}
