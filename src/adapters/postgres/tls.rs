//! TLS to a server by libpq's `sslmode` (manual 34.19).

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{Endpoint, PostgresError};
use crate::{adapters::tls::Anybody, model::stack::SslMode};

/// The connector for an endpoint's `sslmode`; the mode itself goes into the connection's configuration.
pub(super) fn connector(endpoint: &Endpoint) -> Result<MakeRustlsConnect, PostgresError> {
    let refuse = |problem: String| PostgresError::Tls { endpoint: endpoint.to_string(), problem };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| refuse(e.to_string()))?;
    let config = match endpoint.sslmode {
        SslMode::VerifyFull => builder.with_root_certificates(roots(endpoint)?).with_no_client_auth(),
        // They encrypt without knowing to whom, as libpq's do.
        SslMode::Disable | SslMode::Prefer | SslMode::Require => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody::new(provider))).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

fn roots(endpoint: &Endpoint) -> Result<RootCertStore, PostgresError> {
    let refuse = |problem: String| PostgresError::Tls { endpoint: endpoint.to_string(), problem };
    let mut roots = RootCertStore::empty();
    match &endpoint.sslrootcert {
        Some(path) => {
            let at = |e: &dyn std::fmt::Display| refuse(format!("sslrootcert {}: {e}", path.display()));
            for certificate in CertificateDer::pem_file_iter(path).map_err(|e| at(&e))? {
                roots.add(certificate.map_err(|e| at(&e))?).map_err(|e| at(&e))?;
            }
            if roots.is_empty() {
                return Err(at(&"no certificate in it"));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(refuse("the host has no certificates of its own; set sslrootcert".into()));
            }
        }
    }
    Ok(roots)
}
