//! Whether what is captured would be signed by a key that is believed.

use super::Check;
use crate::{
    adapters::{
        clock, files,
        signature::{Signer, Trust},
    },
    model::{failure::Diagnose, secret::SecretSource, stack::SignSettings},
};

const SIGN: &str = "sign";
/// Bits of group and others.
const NOT_THE_OWNERS: u32 = 0o077;

/// Key and trust anchor, and whether they fit; nothing where `[sign]` is not configured.
pub(super) fn check(sign: &SignSettings) -> Vec<Check> {
    let trust = sign.trust.as_deref().map(Trust::load);
    let mut checks = Vec::new();
    if let Some(source) = &sign.key {
        checks.extend(key(source, trust.as_ref().and_then(|t| t.as_ref().ok())));
    }
    checks.extend(match trust {
        Some(Ok(_)) => Some(Check::ok(SIGN, "trust anchor", "can be read")),
        Some(Err(error)) => Some(Check::failed(SIGN, "trust anchor", &error)),
        None => sign.key.is_some().then(|| {
            let remedy = "put NAME and the public key into a file, and name it in [sign] as trust";
            Check::warning(SIGN, "trust anchor", "nothing says whose signatures are believed", remedy)
        }),
    });
    checks
}

fn key(source: &SecretSource, trust: Option<&Trust>) -> Vec<Check> {
    let signer = match Signer::load(source) {
        Ok(signer) => signer,
        Err(error) => return vec![Check::failed(SIGN, "key", &error)],
    };
    let mut checks = vec![private(source).unwrap_or_else(|| Check::ok(SIGN, "key", signer.fingerprint()))];
    if let Some(trust) = trust {
        checks.push(match trust.signer(&signer, clock::now()) {
            Ok(name) => Check::ok(SIGN, "believed", format!("the key is that of {name}")),
            Err(problem) => {
                let line = signer.public_key().map(|key| format!("add this line to the trust anchor: NAME {key}"));
                let reason = format!("what this host signs would not be believed: its key {problem}");
                Check::unfit(SIGN, "believed", reason, line.unwrap_or_else(|e| e.hint().unwrap_or_default()))
            }
        });
    }
    checks
}

/// A key that others can read signs for them too.
fn private(source: &SecretSource) -> Option<Check> {
    let SecretSource::File(path) = source else { return None };
    match files::owner(path) {
        Err(error) => Some(Check::failed(SIGN, "key", &error)),
        Ok(owner) if owner.mode & NOT_THE_OWNERS != 0 => Some(Check::unfit(
            SIGN,
            "key",
            format!("{} has mode {:04o}: others can sign with it", path.display(), owner.mode & 0o7777),
            format!("chmod 600 {0}; if somebody may have read it, make a new one", path.display()),
        )),
        Ok(_) => None,
    }
}
