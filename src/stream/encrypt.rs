//! Encryption of copies with age (<https://age-encryption.org/v1>): to X25519 recipients, so that the host that makes a
//! copy cannot read it back.
//!
//! What is encrypted is hashed on its way, before and behind the cipher: a file that is not what its manifest says is
//! never finished. age itself proves a ciphertext whole: a cut, changed or lengthened one cannot be decrypted to its end.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, ErrorKind, Read, Write},
    path::Path,
};

use super::{StreamError, hash::Sha};
use crate::{
    adapters::files::{self, AtomicFile, FileError},
    model::{
        failure::{Class, Diagnose},
        manifest::FileDigest,
        secret::Secret,
    },
};

/// How much is read at once; some of age's chunks of 64 KiB.
const BUFFER_BYTES: usize = 1 << 18;
/// How a file begins that age has encrypted; an identity file that begins so is itself encrypted.
const AGE_MAGIC: &str = "age-encryption.org/";

/// Why something could not be encrypted or decrypted. Never carries a key.
#[derive(Debug, thiserror::Error)]
pub enum EncryptError {
    #[error("`{given}` is not an age recipient: {problem}")]
    Recipient { given: String, problem: &'static str },
    #[error("the identity file {file} {problem}")]
    Identity { file: String, problem: String },
    #[error("none of the identities opens {file}")]
    NoMatch { file: String },
    #[error(transparent)]
    Stream(#[from] StreamError),
}

impl From<FileError> for EncryptError {
    fn from(error: FileError) -> Self {
        Self::Stream(error.into())
    }
}

impl Diagnose for EncryptError {
    fn class(&self) -> Class {
        match self {
            Self::Recipient { .. } | Self::Identity { .. } => Class::Usage,
            // Nothing is known of what cannot be opened; that is not the same as being wrong.
            Self::NoMatch { .. } => Class::Unverifiable,
            Self::Stream(e) => e.class(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Recipient { .. } => {
                Some("age-keygen -o key.txt makes a key pair; age-keygen -y key.txt shows its recipient".into())
            }
            Self::Identity { .. } => {
                Some("an identity file has a line AGE-SECRET-KEY-1…, as age-keygen -o key.txt writes it".into())
            }
            Self::NoMatch { .. } => Some(
                "copy.json says to whom the copy is encrypted; age-keygen -y FILE shows an identity's recipient".into(),
            ),
            Self::Stream(e) => e.hint(),
        }
    }
}

/// To whom a copy is encrypted: age's own public keys, at least one.
#[derive(Clone)]
pub struct Recipients(Vec<age::x25519::Recipient>);

impl Recipients {
    /// Reads `age1…` keys.
    ///
    /// # Errors
    /// When one is none, or there is none at all.
    pub fn parse<S: AsRef<str>>(keys: &[S]) -> Result<Self, EncryptError> {
        let refuse = |given: &str, problem| EncryptError::Recipient { given: given.to_owned(), problem };
        let parsed = keys.iter().map(|key| {
            let key = key.as_ref();
            if key.to_uppercase().starts_with("AGE-SECRET-KEY-") {
                // Not shown: whoever pasted it here has a secret to replace.
                return Err(refuse("AGE-SECRET-KEY-…", "it is the secret key, which must not be on this host"));
            }
            if key.starts_with("ssh-") {
                return Err(refuse(key, "it is an SSH key; expected an age key, age1…"));
            }
            key.parse().map_err(|_| refuse(key, "expected an age X25519 key, age1…"))
        });
        let parsed = parsed.collect::<Result<Vec<_>, _>>()?;
        if parsed.is_empty() { Err(refuse("", "at least one is needed")) } else { Ok(Self(parsed)) }
    }

    /// The keys as text, sorted: two lists that open for the same people are equal.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        keys.sort();
        keys.dedup();
        keys
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Recipients").field(&self.keys()).finish()
    }
}

/// Secret keys that open copies; needed to verify and restore, never to make one.
#[derive(Clone)]
pub struct Identities(Vec<age::x25519::Identity>);

impl Identities {
    /// Reads the text of an identity file; `file` is only for messages.
    ///
    /// # Errors
    /// When it holds something else than age's own secret keys and comments, or no key.
    pub fn parse(text: &Secret, file: &Path) -> Result<Self, EncryptError> {
        let refuse = |problem: String| EncryptError::Identity { file: file.display().to_string(), problem };
        let mut keys = Vec::new();
        for (number, line) in text.reveal().lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if number == 0 && (line.starts_with(AGE_MAGIC) || line.starts_with("-----BEGIN AGE")) {
                return Err(refuse("is itself encrypted: open it first, with age -d, into a file in memory".into()));
            }
            // The line is a secret, or may be one: only its number is told.
            let key = line.parse().map_err(|_| refuse(format!("has no age secret key in line {}", number + 1)))?;
            keys.push(key);
        }
        if keys.is_empty() { Err(refuse("holds no key".into())) } else { Ok(Self(keys)) }
    }

    /// These keys and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The plain bytes of a ciphertext; `file` is only for messages.
    ///
    /// # Errors
    /// When none of the keys fits, or it does not begin as age files do. The rest of it is proved while it is read.
    pub fn open<R: Read>(&self, ciphertext: R, file: &Path) -> Result<impl Read + use<R>, EncryptError> {
        let damaged = |e: age::DecryptError| match e {
            age::DecryptError::NoMatchingKeys => EncryptError::NoMatch { file: name(file) },
            age::DecryptError::Io(e) if !is_content(&e) => FileError::new("reading", file, e).into(),
            other => StreamError::damaged(file, format!("is not encrypted as it should be: {other}")).into(),
        };
        let decryptor = age::Decryptor::new(ciphertext).map_err(damaged)?;
        decryptor.decrypt(self.0.iter().map(|key| key as &dyn age::Identity)).map_err(damaged)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identities({})", self.0.len())
    }
}

/// The length that a ciphertext to this many recipients has at most: for a look at the free space.
pub fn most_bytes(plain: u64, recipients: usize) -> u64 {
    // Header with a stanza per recipient; 16 bytes of authentication per chunk of 64 KiB, of which the last may be empty.
    let header = 512 + 256 * u64::try_from(recipients).unwrap_or(u64::MAX);
    plain.saturating_add((plain / (1 << 16) + 2) * 16).saturating_add(header)
}

/// Encrypts `source` into the file `name` of `dir`; `took` is told of plain bytes done, and stops it. Gives what the
/// ciphertext is. Blocking.
///
/// # Errors
/// When the source is not what `expected` says; nothing is left then. When reading or writing fails.
pub fn encrypt(
    source: &Path,
    expected: &FileDigest,
    dir: &Path,
    name: &str,
    to: &Recipients,
    took: &dyn Fn(u64) -> Result<(), StreamError>,
) -> Result<FileDigest, EncryptError> {
    let file = files::open_read(source)?;
    files::drop_cache(&file);
    let target = AtomicFile::create(dir, name)?;
    let failed = |e: io::Error| StreamError::Pack { name: name.to_owned(), source: e };
    let encryptor = age::Encryptor::with_recipients(to.0.iter().map(|key| key as &dyn age::Recipient));
    let encryptor = encryptor.map_err(|e| failed(io::Error::other(e.to_string())))?;
    let mut cipher = encryptor.wrap_output(Hashing::new(target.file())).map_err(failed)?;
    let plain = pump(file, source, &mut |bytes| {
        cipher.write_all(bytes).map_err(failed)?;
        took(bytes.len() as u64)
    })?;
    compare(source, expected, &plain)?;
    let hashed = cipher.finish().map_err(failed)?;
    let digest = FileDigest { file: name.to_owned(), bytes: hashed.bytes, sha256: hashed.sha.finish() };
    target.finish()?;
    Ok(digest)
}

/// Decrypts `source` into the file that `expected` names in `dir`, and compares what comes out with it. Blocking.
///
/// # Errors
/// When it cannot be opened, is not whole, or holds something else; nothing is left then.
pub fn decrypt(
    source: &Path,
    expected: &FileDigest,
    dir: &Path,
    with: &Identities,
    took: &dyn Fn(u64) -> Result<(), StreamError>,
) -> Result<(), EncryptError> {
    let opened = with.open(BufReader::with_capacity(BUFFER_BYTES, files::open_read(source)?), source)?;
    let target = AtomicFile::create(dir, &expected.file)?;
    let plain = pump(opened, source, &mut |bytes| {
        let failed = |e| FileError::new("writing", target.target(), e);
        target.file().write_all(bytes).map_err(failed)?;
        took(bytes.len() as u64)
    })?;
    compare(source, expected, &plain)?;
    target.finish()?;
    Ok(())
}

/// Reads to the end, hashes, and passes everything on. What age finds wrong with a ciphertext comes as invalid data.
fn pump(
    mut from: impl Read,
    path: &Path,
    give: &mut dyn FnMut(&[u8]) -> Result<(), StreamError>,
) -> Result<(u64, String), StreamError> {
    let (mut sha, mut bytes, mut buffer) = (Sha::default(), 0, vec![0; BUFFER_BYTES]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok((bytes, sha.finish())),
            Ok(n) => {
                let piece = buffer.get(..n).unwrap_or_default();
                sha.update(piece);
                bytes += n as u64;
                give(piece)?;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if is_content(&e) => return Err(StreamError::damaged(path, format!("cannot be decrypted: {e}"))),
            Err(e) => return Err(FileError::new("reading", path, e).into()),
        }
    }
}

/// Whether an error speaks of the bytes that were read, not of reading them.
fn is_content(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof | ErrorKind::InvalidInput)
}

fn compare(path: &Path, expected: &FileDigest, found: &(u64, String)) -> Result<(), StreamError> {
    if (expected.bytes, &expected.sha256) == (found.0, &found.1) {
        return Ok(());
    }
    let (bytes, sha256) = found;
    let problem = format!(
        "holds {bytes} bytes with the SHA-256 {sha256}; its manifest says {} and {}",
        expected.bytes, expected.sha256
    );
    Err(StreamError::damaged(path, problem))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// Hashes what it passes on.
struct Hashing<'a> {
    file: &'a File,
    sha: Sha,
    bytes: u64,
}

impl<'a> Hashing<'a> {
    fn new(file: &'a File) -> Self {
        Self { file, sha: Sha::default(), bytes: 0 }
    }
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sha.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
