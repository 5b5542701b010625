//! What cannot be reached or read is unknown, by name, within its timeout.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use super::super::stage::{job, look};
use crate::project::Project;

/// A port whose packets nobody takes: its queue is full, as behind a firewall that drops them.
struct BlackHole {
    listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl BlackHole {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let enter = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let waiting: Vec<_> = (0..8).map_while(enter).collect();
        assert!(waiting.len() < 8, "its queue has an end");
        Self { listener, _waiting: waiting }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }
}

#[test]
fn what_cannot_be_reached_or_read_is_unknown() {
    let hole = BlackHole::new();
    let (silent, _url) = crate::server::silent();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let live = |id: &str, live: &str| format!("[certificate.{id}]\nlive = \"{live}\"\ntimeout = \"1s\"\n");
    let project = Project::new(
        &([
            live("refused", &refused.to_string()),
            live("hole", &hole.address().to_string()),
            live("silent", &silent.local_addr().unwrap().to_string()),
            live("mute", &silent.local_addr().unwrap().to_string()) + "starttls = \"smtp\"\n",
            live("nameless", "nobody.invalid:443"),
            "[certificate.gone]\nfile = \"gone.crt\"\n[certificate.empty]\nfile = \"empty.crt\"\nca_file = \"empty.crt\"\n".into(),
        ]
        .concat()),
    );
    project.write("empty.crt", "nothing\n");
    job(&project, &["certificate = {}"]);
    let found = look(&project);
    found.code(4).is("refused, served", "unknown", "cannot be reached: Connection refused");
    for id in ["hole", "silent", "mute"] {
        found.is(&format!("{id}, served"), "unknown", "no answer within 1 s");
        assert!(found.field(&format!("{id}, served"), "hint").contains("firewall"), "{found:?}");
    }
    found.is("nameless, served", "unknown", "nobody.invalid:443");
    assert!(found.field("refused, served", "hint").contains("maint run readiness"), "{found:?}");
    found.is("gone, file", "unknown", "gone.crt").is("empty, file", "unknown", "empty.crt: no certificate in it");
    assert!(found.took < Duration::from_secs(4), "all wait at once: {:?}", found.took);
}

#[test]
fn a_file_of_authorities_without_one_is_told_with_its_remedy() {
    let authority = super::Authority::new("web");
    let project = Project::new("[certificate.web]\nfile = \"web.crt\"\nca_file = \"ca.crt\"\n");
    project.write("web.crt", &authority.good("web.test").chain);
    project.write("ca.crt", "nothing\n");
    job(&project, &["certificate = {}"]);
    let found = look(&project);
    found.code(4).is("web, file", "good", "of its life").is(
        "web, file, chain",
        "unknown",
        "ca.crt: no certificate in it",
    );
    assert!(found.field("web, file, chain", "hint").contains("-----BEGIN CERTIFICATE-----"), "{found:?}");
}
