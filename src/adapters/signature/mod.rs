//! SSH signatures (SSHSIG): what `ssh-keygen -Y sign` makes and `ssh-keygen -Y verify` checks.
//!
//! Only ed25519 keys without a passphrase: nobody is there at night to type one.

mod allowed;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use ssh_key::{HashAlg, LineEnding, PrivateKey, PublicKey, SshSig, public::KeyData};

use super::{
    files::{self, FileError},
    secret::{self, SecretError},
};
use crate::model::{
    failure::{Class, Diagnose},
    secret::SecretSource,
    signature::{Namespace, Signature},
};
use allowed::Allowed;

/// A signature of ours has about 300 bytes.
pub const MAX_SIGNATURE_BYTES: u64 = 64 << 10;
/// A trust anchor has a line for every key.
const MAX_TRUST_BYTES: u64 = 1 << 20;

/// A key that cannot sign, or a trust anchor that cannot be read. Never carries the key.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("the key that signs cannot be read")]
    Secret(#[from] SecretError),
    #[error("the key that signs is not a private key of OpenSSH's format")]
    NotAKey(#[source] ssh_key::Error),
    #[error("the key that signs has a passphrase, and nobody is there to type it")]
    Passphrase,
    #[error("the key that signs is of the kind {0}; maint signs with ssh-ed25519")]
    Kind(String),
    #[error("signing")]
    Sign(#[source] ssh_key::Error),
    #[error("the trust anchor cannot be read")]
    Trust(#[from] FileError),
    #[error("{}:{line}: {problem}", path.display())]
    Line { path: PathBuf, line: usize, problem: String },
}

impl Diagnose for SignError {
    fn class(&self) -> Class {
        match self {
            Self::Sign(_) => Class::Failed,
            // Whether a signature is good cannot be told without it.
            Self::Trust(_) => Class::Unverifiable,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Secret(SecretError::File { .. } | SecretError::NoCredentials(_)) => Some(
                "let the user that runs maint read the file of `key_file`, or name a credential with `key_credential`"
                    .into(),
            ),
            Self::Secret(e) => e.hint(),
            Self::NotAKey(_) | Self::Passphrase | Self::Kind(_) => {
                Some("make one for maint alone: ssh-keygen -t ed25519 -N '' -C maint -f FILE".into())
            }
            Self::Sign(_) => None,
            Self::Trust(e) => e.hint(),
            Self::Line { .. } => Some(
                "each line has a name and a public key: NAME ssh-ed25519 AAAA…; see ALLOWED SIGNERS in ssh-keygen(1)"
                    .into(),
            ),
        }
    }
}

fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

/// A private key that signs.
#[derive(Debug)]
pub struct Signer {
    key: PrivateKey,
}

impl Signer {
    /// Reads the key.
    ///
    /// # Errors
    /// When it cannot be read, has a passphrase, or is not an ed25519 key.
    pub fn load(source: &SecretSource) -> Result<Self, SignError> {
        let text = secret::read(source)?;
        // What reads secrets takes the last newline off, which the format wants.
        let key = PrivateKey::from_openssh(format!("{}\n", text.reveal().trim_end())).map_err(SignError::NotAKey)?;
        if key.is_encrypted() {
            return Err(SignError::Passphrase);
        }
        match key.public_key().key_data() {
            KeyData::Ed25519(_) => Ok(Self { key }),
            other => Err(SignError::Kind(other.algorithm().to_string())),
        }
    }

    /// Signs bytes; the text is what stands in a `.sig` file.
    ///
    /// # Errors
    /// When the key's two halves do not belong together.
    pub fn sign(&self, message: &[u8], namespace: Namespace) -> Result<String, SignError> {
        let signature = self.key.sign(namespace.as_str(), HashAlg::Sha512, message).map_err(SignError::Sign)?;
        let text = signature.to_pem(LineEnding::LF).map_err(SignError::Sign)?;
        Ok(if text.ends_with('\n') { text } else { text + "\n" })
    }

    /// The key's fingerprint, as `ssh-keygen -l` prints it.
    pub fn fingerprint(&self) -> String {
        fingerprint(self.key.public_key().key_data())
    }

    /// The public key as a trust anchor's line wants it behind the name.
    ///
    /// # Errors
    /// When it cannot be written as text.
    pub fn public_key(&self) -> Result<String, SignError> {
        let bare = PublicKey::from(self.key.public_key().key_data().clone());
        bare.to_openssh().map_err(SignError::Sign)
    }
}

/// The keys that are believed: the trust anchor, best kept where this host cannot write.
#[derive(Debug, Clone)]
pub struct Trust {
    allowed: Vec<Allowed>,
}

impl Trust {
    /// Reads an `allowed_signers` file. Lines with other keys than ed25519, and of certificate authorities, are passed
    /// over: what they sign is never believed.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that is not understood.
    pub fn load(path: &Path) -> Result<Self, SignError> {
        let bytes = files::read_config(path, MAX_TRUST_BYTES)?;
        let at = |line, problem: String| SignError::Line { path: path.to_owned(), line, problem };
        let text = String::from_utf8(bytes).map_err(|_| at(1, "is not UTF-8".into()))?;
        let allowed = allowed::parse(&text).map_err(|(line, problem)| at(line, problem))?;
        Ok(Self { allowed })
    }

    /// Whose key a signer's is.
    ///
    /// # Errors
    /// In words: why what it signs now would not be believed.
    pub fn signer(&self, signer: &Signer, now: DateTime<Utc>) -> Result<String, String> {
        let key = signer.key.public_key().key_data();
        self.who(key, Namespace::Set, now).and_then(|_| self.who(key, Namespace::Record, now))
    }

    /// Checks a signature; `at` is when it is said to have been made, for keys that are valid only for a while.
    pub fn verify(&self, message: &[u8], signature: &[u8], namespace: Namespace, at: DateTime<Utc>) -> Signature {
        match whole(message, signature, namespace) {
            Err(bad) => bad,
            Ok(key) => match self.who(&key, namespace, at) {
                Ok(signer) => Signature::Good { signer, key: fingerprint(&key) },
                Err(problem) => Signature::Untrusted { key: fingerprint(&key), problem },
            },
        }
    }

    fn who(&self, key: &KeyData, namespace: Namespace, at: DateTime<Utc>) -> Result<String, String> {
        let mut problem = "is not a key of the trust anchor".to_owned();
        for allowed in self.allowed.iter().filter(|a| a.key == *key) {
            match allowed.permits(namespace.as_str(), at) {
                Ok(()) => return Ok(allowed.principals.clone()),
                Err(why) => problem = why,
            }
        }
        Err(problem)
    }
}

/// Checks what stands beside `message`: a signature or none, with a trust anchor or without.
pub fn examine(
    trust: Option<&Trust>,
    message: &[u8],
    signature: Option<&[u8]>,
    namespace: Namespace,
    at: DateTime<Utc>,
) -> Signature {
    match (trust, signature) {
        (Some(trust), Some(signature)) => trust.verify(message, signature, namespace, at),
        (Some(_), None) => Signature::Missing,
        (None, None) => Signature::Unsigned,
        (None, Some(signature)) => match whole(message, signature, namespace) {
            Ok(key) => Signature::NotChecked { key: fingerprint(&key) },
            Err(bad) => bad,
        },
    }
}

/// The key that made a signature over these very bytes for this very purpose, whosever it is.
fn whole(message: &[u8], signature: &[u8], namespace: Namespace) -> Result<KeyData, Signature> {
    let bad = |problem: String| Signature::Bad { problem };
    let signature = SshSig::from_pem(signature).map_err(|e| bad(format!("its signature cannot be read: {e}")))?;
    let key = signature.public_key();
    let KeyData::Ed25519(_) = key else {
        let problem = format!("is of the kind {}; maint believes ssh-ed25519 alone", key.algorithm());
        return Err(Signature::Untrusted { key: fingerprint(key), problem });
    };
    if signature.namespace() != namespace.as_str() {
        return Err(bad(format!(
            "its signature was made for `{}`, not for `{}`",
            signature.namespace(),
            namespace.as_str()
        )));
    }
    match PublicKey::from(key.clone()).verify(namespace.as_str(), message, &signature) {
        Ok(()) => Ok(key.clone()),
        Err(_) => Err(bad("is not what was signed: it or its signature was changed".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(dir: &Path) -> Signer {
        let key = PrivateKey::random(&mut ssh_key::rand_core::OsRng, ssh_key::Algorithm::Ed25519).unwrap();
        let path = dir.join("key");
        std::fs::write(&path, key.to_openssh(LineEnding::LF).unwrap()).unwrap();
        Signer::load(&SecretSource::File(path)).unwrap()
    }

    fn trust(dir: &Path, lines: &str) -> Trust {
        let path = dir.join("allowed_signers");
        std::fs::write(&path, lines).unwrap();
        Trust::load(&path).unwrap()
    }

    #[test]
    fn only_the_signed_bytes_for_the_named_purpose_are_good() {
        let dir = tempfile::tempdir().unwrap();
        let signer = signer(dir.path());
        let trust = trust(dir.path(), &format!("ops@host {}\n", signer.public_key().unwrap()));
        let text = signer.sign(b"a manifest", Namespace::Set).unwrap();
        let verify =
            |message: &[u8], namespace| trust.verify(message, text.as_bytes(), namespace, DateTime::UNIX_EPOCH);
        let good = verify(b"a manifest", Namespace::Set);
        assert_eq!(good, Signature::Good { signer: "ops@host".into(), key: signer.fingerprint() });
        assert!(matches!(verify(b"A manifest", Namespace::Set), Signature::Bad { .. }));
        assert!(matches!(verify(b"a manifest", Namespace::Record), Signature::Bad { .. }));
        let garbage = trust.verify(b"a manifest", b"garbage", Namespace::Set, DateTime::UNIX_EPOCH);
        assert!(matches!(garbage, Signature::Bad { .. }));
    }

    #[test]
    fn without_an_anchor_nothing_is_good_and_a_changed_file_is_bad() {
        let dir = tempfile::tempdir().unwrap();
        let text = signer(dir.path()).sign(b"x", Namespace::Record).unwrap();
        let look = |message: &[u8], signature: Option<&[u8]>| {
            examine(None, message, signature, Namespace::Record, DateTime::UNIX_EPOCH)
        };
        assert!(matches!(look(b"x", Some(text.as_bytes())), Signature::NotChecked { .. }));
        assert!(matches!(look(b"y", Some(text.as_bytes())), Signature::Bad { .. }));
        assert_eq!(look(b"x", None), Signature::Unsigned);
        let nobody = trust(dir.path(), "# nobody\n");
        assert_eq!(examine(Some(&nobody), b"x", None, Namespace::Record, DateTime::UNIX_EPOCH), Signature::Missing);
        let unknown = nobody.verify(b"x", text.as_bytes(), Namespace::Record, DateTime::UNIX_EPOCH);
        assert!(unknown.problem().unwrap().contains("is not a key of the trust anchor"));
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "hunter2").unwrap();
        let error = Signer::load(&SecretSource::File(path)).unwrap_err();
        assert!(!format!("{error:?} {}", crate::model::failure::chain(&error)).contains("hunter2"));
        assert!(Signer::load(&SecretSource::File(dir.path().join("none"))).is_err());
    }
}
