//! TLS to a server by libpq's `sslmode` (manual 34.19).

use std::sync::Arc;

use rustls::ClientConfig;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Endpoint, PostgresError};
use crate::{
    adapters::{roots::Roots, tls::Anybody},
    model::{failure::chain, stack::SslMode},
};

/// The connector for an endpoint's `sslmode`; the mode itself goes into the connection's configuration.
pub(super) fn connector(endpoint: &Endpoint) -> Result<MakeRustlsConnect, PostgresError> {
    let refuse = |problem: String| PostgresError::Tls { endpoint: endpoint.to_string(), problem };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse(e.to_string()))?;
    let config = match endpoint.sslmode {
        SslMode::VerifyFull => {
            let roots = Roots::load(endpoint.sslrootcert.as_deref()).map_err(|e| refuse(chain(&e)))?;
            builder.with_root_certificates(roots.0).with_no_client_auth()
        }
        // They encrypt without knowing to whom, as libpq's do.
        SslMode::Disable | SslMode::Prefer | SslMode::Require => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new(provider))).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}
