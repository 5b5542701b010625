//! `certificate`: expired, of another name, with another key, without its chain, renewed and not reloaded.

use std::{net::TcpListener, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::stage::{Found, job, look};
use crate::project::Project;

/// An authority, an issuer below it, and what that issued.
struct Issued {
    root: String,
    middle: String,
    leaf: String,
    key: String,
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

/// A leaf for that name, valid for those years.
fn issue(name: &str, (from, to): (i32, i32)) -> Issued {
    let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
    let middle = CertifiedIssuer::signed_by(ca("middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
    let leaf = params.signed_by(&key, &middle).unwrap();
    Issued { root: root.pem(), middle: middle.pem(), leaf: leaf.pem(), key: key.serialize_pem() }
}

/// Serves a chain on 127.0.0.1, until the test ends.
fn serve(chain: &str, key: &str) -> u16 {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut connection = ServerConnection::new(config.clone()).unwrap();
            let _ = connection.complete_io(&mut stream);
        }
    });
    port
}

/// Looks at a file with its key, and at a server that shows a chain.
fn looked(file: &str, key: &str, root: &str, served: (&str, &str)) -> Found {
    let port = serve(served.0, served.1);
    let project = Project::new(&format!(
        "[certificate.web]\nfile = \"web.crt\"\nkey = \"web.key\"\nlive = \"127.0.0.1:{port}\"\n\
         server_name = \"web.test\"\nca_file = \"ca.crt\"\n"
    ));
    for (name, text) in [("web.crt", file), ("web.key", key), ("ca.crt", root)] {
        project.write(name, text);
    }
    job(&project, &["certificate = {}"]);
    look(&project)
}

fn chain(issued: &Issued) -> String {
    format!("{}{}", issued.leaf, issued.middle)
}

#[test]
fn a_good_certificate_is_good_and_a_wrong_one_is_not() {
    let good = issue("web.test", (2020, 2080));
    let found = looked(&chain(&good), &good.key, &good.root, (&chain(&good), &good.key));
    found.code(0).is("web, file", "good", "until 2080-01-01").is("web, served", "good", "% of its life left");
    found.is("web, key", "good", "belongs");

    let expired = issue("web.test", (2020, 2021));
    let found = looked(&chain(&expired), &expired.key, &expired.root, (&chain(&expired), &expired.key));
    found.code(1).is("web, file", "critical", "expired 2021-01-01").is("web, served", "critical", "expired");

    let other = issue("other.test", (2020, 2080));
    let found = looked(&chain(&other), &other.key, &other.root, (&chain(&other), &other.key));
    let wrong = |subject: &str| found.all(subject).iter().any(|seen| seen.contains("is not for web.test"));
    assert!(found.code == 1 && wrong("web, file") && wrong("web, served"), "{found:?}");

    let found = looked(&chain(&good), &other.key, &good.root, (&chain(&good), &good.key));
    found.code(1).is("web, key", "critical", "is the key of another certificate");
}

#[test]
fn a_missing_chain_a_foreign_authority_and_a_forgotten_reload_are_found() {
    let good = issue("web.test", (2020, 2080));
    let found = looked(&chain(&good), &good.key, &good.root, (&good.leaf, &good.key));
    let said = found.all("web, served");
    assert!(found.code == 1 && said.iter().any(|seen| seen.contains("middle is not sent")), "{found:?}");
    assert_eq!(found.all("web, file").len(), 1, "the file has its chain: {found:?}");

    let renewed = issue("web.test", (2021, 2081));
    let both = format!("{}{}", good.root, renewed.root);
    let found = looked(&chain(&renewed), &renewed.key, &both, (&chain(&good), &good.key));
    let said = found.all("web, served");
    assert!(said.iter().any(|seen| seen.contains("is not the file's: served until 2080-01-01")), "{found:?}");

    let found = looked(&chain(&good), &good.key, &renewed.root, (&chain(&good), &good.key));
    assert!(found.code == 1 && found.all("web, served").iter().any(|s| s.contains("authority")), "{found:?}");
}

#[test]
fn a_certificate_that_cannot_be_looked_at_is_unknown() {
    let (listener, _url) = crate::server::silent();
    let port = listener.local_addr().unwrap().port();
    let project = Project::new(&format!(
        "[certificate.web]\nfile = \"gone.crt\"\n[certificate.hung]\nlive = \"127.0.0.1:{port}\"\ntimeout = \"1s\"\n"
    ));
    job(&project, &["certificate = {}"]);
    let found = look(&project);
    found.code(4).is("web, file", "unknown", "gone.crt").is("hung, served", "unknown", "no answer within 1 s");
}
