//! SHA-256 as `sha256sum` prints it.

use sha2::{Digest, Sha256};

use crate::model::contents::hex;

/// A running SHA-256.
#[derive(Debug, Clone, Default)]
pub struct Sha(Sha256);

impl Sha {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest, 64 lower-case hex digits.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }

    /// The digest of bytes at hand.
    pub fn of(bytes: &[u8]) -> String {
        hex(&Sha256::digest(bytes))
    }
}
