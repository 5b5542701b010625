//! A store that is a bucket: Amazon S3, or a server that speaks the same.
//!
//! Every request carries the SHA-256 of what it sends, so that the server refuses what changed on its way; what the
//! server answers is compared. The SDK's own retries and checksums are off: both are here, in one place each.

mod body;
mod checksum;
mod delete;
mod fetch;
mod lock;
mod multipart;
mod probe;
mod put;
mod request;
mod uploads;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use aws_config::BehaviorVersion;
use aws_sdk_s3::{
    Client,
    config::{
        Builder, Credentials, ProvideCredentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
        SharedHttpClient, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig,
    },
    primitives::DateTime,
};
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};

pub(super) use put::Put;

use super::StoreError;
use crate::{
    adapters::{roots, secret},
    model::{
        failure::chain,
        store::{S3Settings, StoreConfig},
    },
};

const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// An opened bucket.
#[derive(Debug)]
pub(super) struct S3 {
    client: Client,
    settings: S3Settings,
    store: String,
    prefix: String,
    /// Whether the server takes `If-None-Match`; it may ignore it then.
    conditional: AtomicBool,
}

impl S3 {
    /// Reads keys and certificates; the server is asked nothing yet.
    pub(super) async fn open(config: &StoreConfig, settings: &S3Settings) -> Result<Self, StoreError> {
        let http = http_client(config, settings)?;
        let builder = match &settings.keys {
            Some(keys) => {
                let store = || config.name.clone();
                let secret =
                    secret::read(&keys.secret_key).map_err(|source| StoreError::Secret { store: store(), source })?;
                let credentials = Credentials::new(&keys.access_key, secret.reveal(), None, None, "maint.toml");
                Builder::new().behavior_version(BehaviorVersion::latest()).credentials_provider(credentials)
            }
            None => Builder::from(&found_keys(config, settings, &http).await?),
        };
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT_WITHIN.min(settings.answer_within)).build();
        let mut builder = builder
            .http_client(http)
            .timeout_config(timeouts)
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .force_path_style(settings.path_style);
        if let Some(region) = &settings.region {
            builder = builder.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.endpoint_url(endpoint);
        }
        Ok(Self {
            client: Client::from_conf(builder.build()),
            settings: settings.clone(),
            store: config.name.clone(),
            prefix: if config.prefix.is_empty() { String::new() } else { format!("{}/", config.prefix) },
            conditional: AtomicBool::new(true),
        })
    }

    /// The key as the bucket has it.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Where an upload goes, as its journal has it: another place is another upload.
    pub(super) fn place(&self) -> String {
        format!("{} {}/{}", self.settings.endpoint.as_deref().unwrap_or("aws"), self.settings.bucket, self.prefix)
    }

    /// `If-None-Match` of what is written once.
    fn condition(&self, immutable: bool) -> Option<String> {
        (immutable && self.conditional.load(Ordering::Relaxed)).then(|| "*".to_owned())
    }
}

/// Keys and region as the AWS tools find them. Asked for at once: a store without keys is told as such, not as one that
/// does not answer.
async fn found_keys(
    config: &StoreConfig,
    settings: &S3Settings,
    http: &SharedHttpClient,
) -> Result<aws_config::SdkConfig, StoreError> {
    let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http.clone());
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    let found = loader.load().await;
    let none = |why: String| StoreError::NoKeys { store: config.name.clone(), why };
    let provider = found.credentials_provider().ok_or_else(|| none("nobody has any".into()))?;
    provider.provide_credentials().await.map_err(|e| none(chain(&e)))?;
    if found.region().is_none() {
        let problem = "neither they nor the environment name a `region`".into();
        return Err(StoreError::Settings { store: config.name.clone(), problem });
    }
    Ok(found)
}

fn http_client(config: &StoreConfig, settings: &S3Settings) -> Result<SharedHttpClient, StoreError> {
    let builder = aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring));
    let Some(path) = &settings.ca_file else { return Ok(builder.build_https()) };
    let problem = |problem: String| StoreError::Settings { store: config.name.clone(), problem };
    // The SDK panics over what is no certificate; this was looked through.
    let pem = roots::pem(path).map_err(|e| problem(chain(&e)))?;
    let trusted = TrustStore::empty().with_native_roots(false).with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    Ok(builder.tls_context(context.map_err(|e| problem(format!("ca_file {}: {e}", path.display())))?).build_https())
}

/// A moment as the SDK has it; `None` where no calendar has it.
fn moment(at: &DateTime) -> Option<chrono::DateTime<chrono::Utc>> {
    chrono::DateTime::from_timestamp(at.secs(), at.subsec_nanos())
}
