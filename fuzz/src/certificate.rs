//! What the fuzz target `certificate` checks; tests/checks/certificate/hostile.rs replays the corpus with the same code.

use std::sync::LazyLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use maint::{
    adapters::{
        roots::{Roots, RootsError},
        tls::Chain,
    },
    model::finding::Finding,
    steps::checks::certificate::judge,
};

const MIDDLE: &str = include_str!("../corpus/certificate/middle.pem");
/// Certificates of `web.test` that the root's clients believe.
const BELIEVED: [&[u8]; 2] =
    [include_bytes!("../corpus/certificate/leaf.der"), include_bytes!("../corpus/certificate/rsa.der")];
static ROOTS: LazyLock<Result<Roots, RootsError>> =
    LazyLock::new(|| Ok(Roots::parse(include_bytes!("../corpus/certificate/root.pem")).expect("the corpus")));

fn judged(pem: &[u8], roots: &Result<Roots, RootsError>) -> Option<Vec<Finding>> {
    let chain = Chain::parse(pem).ok()?;
    let now = "2027-01-01T00:00:00Z".parse().expect("a time");
    let findings = judge("fuzzed", Some("web.test"), &chain, roots, now);
    assert!(!findings.is_empty(), "nothing is said of it");
    Some(findings)
}

/// Looks at bytes as a file in PEM, as a certificate that a server shows, and as an authority.
///
/// # Panics
/// When a certificate that nobody signed is good, or one that was signed is not.
pub fn only_what_was_signed_is_good(bytes: &[u8]) {
    judged(bytes, &ROOTS);
    let shown =
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n{MIDDLE}", BASE64_STANDARD.encode(bytes));
    let findings = judged(shown.as_bytes(), &ROOTS).unwrap_or_default();
    let good = !findings.is_empty() && findings.iter().all(|finding| finding.band.is_fine());
    assert_eq!(good, BELIEVED.contains(&bytes), "{findings:?}");
    for pem in [bytes, shown.as_bytes()] {
        if let Ok(roots) = Roots::parse(pem) {
            judged(MIDDLE.as_bytes(), &Ok(roots));
        }
    }
}
