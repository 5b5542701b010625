//! Certificates behind STARTTLS, at real servers; a server that has no TLS is never good.

use std::{fs, path::Path};

use super::{Authority, DAY, found};
use crate::{
    mail::{StartTls, dovecot, exim},
    postgres::{Cluster, Options},
};

fn section(id: &str, port: u16, starttls: &str) -> String {
    format!(
        "[certificate.{id}]\nlive = \"127.0.0.1:{port}\"\nstarttls = \"{starttls}\"\nserver_name = \"{id}.test\"\nca_file = \
         \"ca.crt\"\n"
    )
}

#[test]
fn mail_servers_are_asked_for_tls_first() {
    let authority = Authority::new("mail");
    let good = authority.good("good.test");
    let old = authority.issue("old.test", (-80 * DAY, 10 * DAY));
    let servers = [
        ("good", exim(&StartTls::With(&good.chain, &good.key))),
        ("old", exim(&StartTls::With(&old.chain, &old.key))),
        ("broken", exim(&StartTls::Broken)),
        ("plain", exim(&StartTls::Not)),
    ];
    let mut sections: String = servers.iter().map(|(id, server)| section(id, server.port, "smtp")).collect();
    // Who forgets `starttls` speaks TLS to a server that does not.
    sections += &section("forgotten", servers[0].1.port, "smtp").replace("starttls = \"smtp\"\n", "");
    let found = found(&sections, &authority.root.pem());
    found.code(1).is("good, served", "good", "67 % of its life left").is(
        "old, served",
        "critical",
        "11 % of its life left",
    );
    assert_eq!((found.every("good, served").len(), found.every("old, served").len()), (1, 1), "{found:?}");
    found.is("broken, served", "unknown", "does not begin TLS: it said: 454");
    found.is("plain, served", "unknown", "does not begin TLS: it does not offer STARTTLS");
    found.is("forgotten, served", "unknown", "does not begin TLS");
    for id in ["broken", "plain", "forgotten"] {
        assert!(found.field(&format!("{id}, served"), "hint").contains("correct `live` and `starttls`"), "{found:?}");
    }
}

#[test]
fn mailboxes_are_asked_for_tls_first() {
    let authority = Authority::new("box");
    let good = authority.good("good.test");
    let (with, with_pop3) = dovecot(Some((&good.chain, &good.key)));
    let (without, without_pop3) = dovecot(None);
    let named = |id: &str, port, starttls| section(id, port, starttls).replace(&format!("{id}.test"), "good.test");
    let sections = [
        named("imap", with.port, "imap"),
        named("pop3", with_pop3, "pop3"),
        named("plain-imap", without.port, "imap"),
        named("plain-pop3", without_pop3, "pop3"),
    ];
    let found = found(&sections.concat(), &authority.root.pem());
    found.code(4).is("imap, served", "good", "67 % of its life left").is(
        "pop3, served",
        "good",
        "67 % of its life left",
    );
    found.is("plain-imap, served", "unknown", "does not begin TLS: it said: a BAD");
    found.is("plain-pop3, served", "unknown", "does not begin TLS: it said: -ERR");
}

/// A server's certificate, beside its data.
fn certificates(data: &Path) {
    let authority = Authority::new("db");
    let issued = authority.good("db.test");
    for (name, text) in [("ca.crt", authority.root.pem()), ("server.crt", issued.chain), ("server.key", issued.key)] {
        fs::write(data.join(name), text).unwrap();
    }
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(data.join("server.key"), private).unwrap();
}

#[test]
fn postgresql_is_asked_for_tls_first() {
    let settings = [("ssl", "on")];
    let (with, without) = std::thread::scope(|scope| {
        let with = scope.spawn(|| {
            Cluster::start_with(&Options {
                settings: &settings,
                tcp: true,
                prepare: Some(certificates),
                ..Options::default()
            })
        });
        let without = Cluster::start_with(&Options { tcp: true, ..Options::default() });
        (with.join().unwrap(), without)
    });
    let ca = fs::read_to_string(with.data_dir().join("ca.crt")).unwrap();
    let sections = section("db", with.port, "postgres")
        + &section("other", with.port, "postgres")
        + &section("off", without.port, "postgres");
    let found = found(&sections, &ca);
    found.code(1).is("db, served", "good", "67 % of its life left");
    assert_eq!(found.every("db, served").len(), 1, "{found:?}");
    assert!(found.all("other, served").iter().any(|seen| seen.contains("is not for other.test")), "{found:?}");
    found.is("off, served", "unknown", "does not begin TLS: it has no TLS: ssl is off");
}
