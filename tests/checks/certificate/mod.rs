//! `certificate`: every verdict on real servers, with what OpenSSL's client says of the same.

mod believed;
mod hostile;
mod lifetimes;
mod reached;
mod starttls;

use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};

use super::stage::{Found, job, look};
use crate::{nginx::Nginx, project::Project};

const DAY: i64 = 24 * 3600;

/// A root, and an issuer below it.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    middle: CertifiedIssuer<'static, KeyPair>,
}

/// What an authority issued, in PEM.
struct Issued {
    leaf: String,
    /// The leaf and its issuer.
    chain: String,
    key: String,
}

impl Authority {
    /// Its root is `NAME root`, its issuer `NAME middle`.
    fn new(name: &str) -> Self {
        Self::with_issuer(name, (-300 * DAY, 3000 * DAY))
    }

    /// The issuer is valid from and until so many seconds from now.
    fn with_issuer(name: &str, span: (i64, i64)) -> Self {
        let ca = |what: &str| {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, format!("{name} {what}"));
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root = CertifiedIssuer::self_signed(ca("root"), KeyPair::generate().unwrap()).unwrap();
        let mut params = ca("middle");
        valid(&mut params, span);
        let middle = CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap();
        Self { root, middle }
    }

    /// A certificate for a name, valid from and until so many seconds from now.
    fn issue(&self, name: &str, span: (i64, i64)) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        valid(&mut params, span);
        let leaf = params.signed_by(&key, &self.middle).unwrap().pem();
        Issued { chain: format!("{leaf}{}", self.middle.pem()), leaf, key: key.serialize_pem() }
    }

    /// One of 90 days, a month old.
    fn good(&self, name: &str) -> Issued {
        self.issue(name, (-30 * DAY, 60 * DAY))
    }
}

/// Validity from and until so many seconds from now.
fn valid(params: &mut CertificateParams, (begin, end): (i64, i64)) {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().cast_signed();
    let at = |from_now: i64| date_time_ymd(1970, 1, 1) + Duration::from_secs((now + from_now).cast_unsigned());
    (params.not_before, params.not_after) = (at(begin), at(end));
}

/// Runs openssl in a directory.
fn openssl(dir: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A section `[certificate.NAME]` for a name that nginx serves, whose file is the one that nginx has.
fn section(nginx: &Nginx, id: &str, name: &str) -> String {
    let file = nginx.file(name, "crt");
    format!(
        "[certificate.{id}]\nlive = \"127.0.0.1:{}\"\nserver_name = \"{name}\"\nfile = \"{}\"\nca_file = \"ca.crt\"\n",
        nginx.server.port,
        file.display()
    )
}

/// A project with these sections, whose clients believe this authority, and what it finds.
fn found(sections: &str, authority: &str) -> Found {
    let project = Project::new(sections);
    project.write("ca.crt", authority);
    job(&project, &["certificate = {}"]);
    look(&project)
}
