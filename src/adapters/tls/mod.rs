//! Certificates, as files and as servers show them: looked at, not believed.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::{
    prelude::{FromDer, X509Certificate},
    public_key::PublicKey,
};

use super::{
    files::{self, FileError},
    roots::{self, Roots},
};
use crate::model::{
    contents::hex,
    failure::{Class, Diagnose},
    targets::Live,
};

mod anybody;
mod starttls;

pub(super) use anybody::Anybody;

/// No chain or key is longer.
const LONGEST_FILE: u64 = 1 << 20;

/// Why a certificate could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{}: {problem}", path.display())]
    Unreadable { path: PathBuf, problem: String },
    #[error("a certificate cannot be read: {0}")]
    Certificate(String),
    #[error("{0} cannot be reached")]
    Connect(String, #[source] std::io::Error),
    #[error("{0} does not begin TLS")]
    NoTls(String, #[source] std::io::Error),
    #[error("no TLS client can be made: {0}")]
    Client(String),
}

impl Diagnose for TlsError {
    fn class(&self) -> Class {
        Class::Unverifiable
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Connect(..) => Some("does the server run? See: maint run readiness".into()),
            Self::NoTls(..) => Some(
                "give the server its certificate, or correct `live` and `starttls` of this certificate in maint.toml"
                    .into(),
            ),
            Self::Unreadable { .. } => Some("it must be PEM, as certbot and openssl write it: -----BEGIN …".into()),
            Self::Certificate(_) | Self::Client(_) => None,
        }
    }
}

/// A certificate with those that signed it, the leaf first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<CertificateDer<'static>>);

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when on it is valid.
    pub not_before: DateTime<Utc>,
    /// Until when.
    pub not_after: DateTime<Utc>,
    /// Whether it names itself as who signed it.
    pub of_itself: bool,
    /// How many bits its key has, where it is an RSA key.
    pub rsa_bits: Option<usize>,
    /// SHA-256 of it.
    pub sha256: String,
}

/// Why clients do not come from a certificate to an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Distrust {
    /// Who signed the last one is neither in the chain nor among the authorities.
    Stranger,
    /// One on the way is over, or has not begun.
    Time,
    /// One on the way is signed in a way that is no longer taken.
    Signature,
    /// Something else.
    Other(String),
}

impl Chain {
    /// Reads a file of certificates in PEM.
    ///
    /// # Errors
    /// When there is none in it.
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        let pem = files::read_config(path, LONGEST_FILE)?;
        Self::parse(&pem).map_err(|problem| TlsError::Unreadable { path: path.to_owned(), problem })
    }

    /// The certificates of a text in PEM. What is in them is not looked at yet. Never panics, whatever the text is.
    ///
    /// # Errors
    /// When there is none in it: why.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        roots::certificates(pem).map(Self)
    }

    /// What each certificate says, the leaf first.
    ///
    /// # Errors
    /// When one is no certificate.
    pub fn facts(&self) -> Result<Vec<Facts>, TlsError> {
        self.0.iter().map(|der| facts(der)).collect()
    }

    /// Whether the leaf is for that name.
    ///
    /// # Errors
    /// When it is not: why.
    pub fn is_for(&self, name: &str) -> Result<(), String> {
        let name = ServerName::try_from(name).map_err(|e| format!("`{name}`: {e}"))?;
        let leaf = self.0.first().ok_or("there is no certificate")?;
        let parsed = ParsedCertificate::try_from(leaf).map_err(|e| e.to_string())?;
        verify_server_name(&parsed, &name).map_err(|e| said(&e))
    }

    /// Whether who believes these authorities comes from the leaf to one of them by what is in the chain.
    ///
    /// # Errors
    /// When not: why.
    pub fn leads_to(&self, roots: &Roots, now: DateTime<Utc>) -> Result<(), Distrust> {
        let (leaf, others) = self.0.split_first().ok_or_else(|| Distrust::Other("there is no certificate".into()))?;
        let mut itself = RootCertStore::empty();
        // Who believes the certificate itself needs no authority.
        if itself.add(leaf.clone()).is_ok() && itself.roots.iter().all(|leaf| roots.0.roots.contains(leaf)) {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(leaf).map_err(|e| Distrust::from(&e))?;
        let since = u64::try_from(now.timestamp()).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(since));
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots.0, others, now, algorithms.all)
            .map_err(|e| Distrust::from(&e))
    }

    /// Whether a private key is the leaf's.
    ///
    /// # Errors
    /// When the key cannot be read.
    pub fn has_key(&self, path: &Path) -> Result<bool, TlsError> {
        let unreadable = |problem: String| TlsError::Unreadable { path: path.to_owned(), problem };
        let pem = files::read_config(path, LONGEST_FILE)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| unreadable(e.to_string()))?;
        let key = rustls::crypto::ring::sign::any_supported_type(&key).map_err(|e| unreadable(said(&e)))?;
        match CertifiedKey::new(self.0.clone(), key).keys_match() {
            Ok(()) => Ok(true),
            Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => Ok(false),
            Err(error) => Err(unreadable(said(&error))),
        }
    }
}

impl From<&rustls::Error> for Distrust {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => Self::Stranger,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Time,
            rustls::Error::InvalidCertificate(
                CertificateError::UnsupportedSignatureAlgorithmContext { .. }
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            ) => Self::Signature,
            _ => Self::Other(said(error)),
        }
    }
}

/// rustls' words, without its own prefix.
fn said(error: &rustls::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("invalid peer certificate: ").unwrap_or(&text).to_owned()
}

fn facts(der: &CertificateDer<'_>) -> Result<Facts, TlsError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|e| TlsError::Certificate(e.to_string()))?;
    let time = |at: x509_parser::time::ASN1Time| {
        DateTime::from_timestamp(at.timestamp(), 0).ok_or_else(|| TlsError::Certificate("its dates are odd".into()))
    };
    let validity = certificate.validity();
    let rsa_bits = match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => Some(key.key_size()),
        _ => None,
    };
    Ok(Facts {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before: time(validity.not_before)?,
        not_after: time(validity.not_after)?,
        of_itself: certificate.subject() == certificate.issuer(),
        rsa_bits,
        sha256: hex(&Sha256::digest(der)),
    })
}

/// The addresses of a server.
///
/// # Errors
/// When its name is not known.
pub async fn addresses(live: &Live) -> Result<Vec<std::net::SocketAddr>, TlsError> {
    let name = format!("{}:{}", live.host, live.port);
    let found = tokio::net::lookup_host((live.host.as_str(), live.port)).await;
    let mut found: Vec<_> = found.map_err(|e| TlsError::Connect(name, e))?.collect();
    found.sort();
    found.dedup();
    Ok(found)
}

/// The chain that a server shows at an address to who asks for that name.
///
/// # Errors
/// When it cannot be reached, or does not begin TLS.
pub async fn served(address: std::net::SocketAddr, live: &Live, name: &str) -> Result<Chain, TlsError> {
    let place = address.to_string();
    let mut stream = tokio::net::TcpStream::connect(address).await.map_err(|e| TlsError::Connect(place.clone(), e))?;
    if let Some(protocol) = live.starttls {
        starttls::begin(&mut stream, protocol).await.map_err(|e| TlsError::NoTls(place.clone(), e))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let anybody = Arc::new(Anybody::new(provider.clone()));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| TlsError::Client(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(anybody.clone())
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|e| TlsError::Client(format!("`{name}`: {e}")))?;
    let shaken = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let chain = anybody.shown();
    match shaken {
        // A server that asks for a client's certificate hangs up after it has shown its own.
        _ if !chain.is_empty() => Ok(Chain(chain)),
        Err(error) => Err(TlsError::NoTls(place, error)),
        Ok(_) => Err(TlsError::Certificate("the server shows none".into())),
    }
}
