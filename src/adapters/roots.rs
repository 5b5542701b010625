//! The certificate authorities that are believed: those of a file, or the host's own. Every client has them from here.

use std::path::{Path, PathBuf};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

use super::files::{self, FileError};
use crate::model::failure::{Class, Diagnose};

/// No file of authorities is longer; a host's whole bundle has a fifth of it.
const LONGEST_FILE: u64 = 4 << 20;

/// Why nobody can be believed.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    #[error("the certificate authorities cannot be read")]
    File(#[from] FileError),
    #[error("the certificate authorities in {}: {problem}", path.display())]
    Unreadable { path: PathBuf, problem: String },
    #[error("this host has no certificate authorities of its own")]
    NoneHere,
}

impl Diagnose for RootsError {
    fn class(&self) -> Class {
        match self {
            Self::File(e) => e.class(),
            Self::Unreadable { .. } | Self::NoneHere => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::File(e) => e.hint(),
            Self::Unreadable { .. } => {
                Some("put the authority's certificate there, in PEM: -----BEGIN CERTIFICATE-----".into())
            }
            Self::NoneHere => Some(
                "apt-get install ca-certificates; or name a file with the authority: ca_file (sslrootcert of a \
                 PostgreSQL server)"
                    .into(),
            ),
        }
    }
}

/// The authorities that clients believe.
#[derive(Debug)]
pub struct Roots(pub(super) RootCertStore);

impl Roots {
    /// Those of a file, or the host's own.
    ///
    /// # Errors
    /// When there are none.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, RootsError> {
        if let Some(path) = ca_file {
            return Ok(read(path)?.0);
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() { Err(RootsError::NoneHere) } else { Ok(Self(roots)) }
    }

    /// Those of a text in PEM. Never panics, whatever the text is.
    ///
    /// # Errors
    /// When there is none in it, or one that is none: why.
    pub fn parse(pem: &[u8]) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|e| e.to_string())?;
        }
        Ok(Self(roots))
    }
}

/// A file of authorities as it is, looked through: for clients that read it themselves.
pub(super) fn pem(path: &Path) -> Result<Vec<u8>, RootsError> {
    Ok(read(path)?.1)
}

fn read(path: &Path) -> Result<(Roots, Vec<u8>), RootsError> {
    let pem = files::read_config(path, LONGEST_FILE)?;
    let roots = Roots::parse(&pem).map_err(|problem| RootsError::Unreadable { path: path.to_owned(), problem })?;
    Ok((roots, pem))
}

/// The certificates of a text in PEM; why not, where there is none.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    match CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>() {
        Ok(found) if found.is_empty() => Err("no certificate in it".into()),
        found => found.map_err(|e| e.to_string()),
    }
}
