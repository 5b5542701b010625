//! The engines that turn a source into artifacts.

pub mod archive;
pub mod dump;
pub mod globals;
mod properties;
pub mod quiesce;
pub mod volume;

/// The key of `pg_dump --restrict-key`: HMAC-SHA-256 of server and database under the host's secret, so the same from
/// dump to dump and not to be guessed from inside the database (CVE-2025-8714).
pub(crate) fn restrict_key(
    host_secret: &crate::model::secret::Secret,
    system_identifier: &str,
    database: &str,
) -> String {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac =
        Hmac::<sha2::Sha256>::new_from_slice(host_secret.reveal().as_bytes()).unwrap_or_else(|_| unreachable!());
    mac.update(system_identifier.as_bytes());
    mac.update(b"\n");
    mac.update(database.as_bytes());
    crate::model::contents::hex(&mac.finalize().into_bytes())
}
