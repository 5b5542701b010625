//! Name, key, chain and authority: what clients turn away is critical, with its own remedy.

use std::fs;

use rcgen::{CertificateParams, KeyPair};

use super::{Authority, DAY, found, openssl, section, valid};
use crate::{
    checks::stage::{job, look},
    nginx::Nginx,
    project::Project,
};

/// One that signed itself, as `openssl req -x509` makes it, for clients of its own.
fn of_itself(dir: &std::path::Path) -> (String, String) {
    openssl(
        dir,
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 90 -subj /CN=itself.test -addext \
         subjectAltName=DNS:itself.test -keyout itself.key -out itself.crt",
    );
    (fs::read_to_string(dir.join("itself.crt")).unwrap(), fs::read_to_string(dir.join("itself.key")).unwrap())
}

#[test]
fn what_openssl_turns_away_is_critical_with_its_remedy() {
    let (known, foreign) = (Authority::new("known"), Authority::new("foreign"));
    let dir = tempfile::tempdir().unwrap();
    let good = known.good("good.test");
    let bare = known.good("bare.test");
    let other = known.good("elsewhere.test");
    let stranger = foreign.good("stranger.test");
    let with_root = format!("{}{}", stranger.chain, foreign.root.pem());
    let (itself, itself_key) = of_itself(dir.path());
    let nginx = Nginx::start(&[
        ("good.test", &good.chain, &good.key),
        ("bare.test", &bare.leaf, &bare.key),
        ("other.test", &other.chain, &other.key),
        ("stranger.test", &with_root, &stranger.key),
        ("itself.test", &itself, &itself_key),
    ]);
    let ids = ["good", "bare", "other", "stranger", "itself"];
    let mut sections: String = ids.map(|id| section(&nginx, id, &format!("{id}.test"))).concat();
    let ca = dir.path().join("ca.crt");
    fs::write(&ca, known.root.pem()).unwrap();
    // The same once more, for clients that know it.
    let own = nginx.file("itself.test", "crt");
    sections += &section(&nginx, "named", "itself.test").replace("\"ca.crt\"", &format!("\"{}\"", own.display()));
    let found = found(&sections, &known.root.pem());
    found.code(1);
    for (id, of_openssl, part, remedy) in [
        (
            "bare",
            "21 (unable to verify the first certificate)",
            "CN=known middle is not sent",
            "fullchain.pem, not cert.pem",
        ),
        ("other", "62 (hostname mismatch)", "is not for other.test", "subjectAltNames"),
        (
            "stranger",
            "19 (self-signed certificate in certificate chain)",
            "CN=foreign root is none that clients",
            "ca_file",
        ),
        ("itself", "18 (self-signed certificate)", "signed by itself", "get one from an authority"),
    ] {
        assert_eq!(nginx.openssl(&format!("{id}.test"), &ca), of_openssl);
        for subject in [format!("{id}, served"), format!("{id}, file")] {
            let of_it = found.every(&subject);
            assert_eq!(of_it.len(), 2, "the expiry, and this: {of_it:?}");
            assert!(of_it[0]["band"] == "good" && of_it[1]["band"] == "critical", "{of_it:?}");
            let (seen, hint) = (of_it[1]["seen"].to_string(), of_it[1]["hint"].to_string());
            assert!(seen.contains(part) && hint.contains(remedy), "{subject}: {seen}; {hint}");
        }
    }
    for (id, name, ca) in [("good", "good.test", &ca), ("named", "itself.test", &own)] {
        assert_eq!(nginx.openssl(name, ca), "0 (ok)");
        for subject in [format!("{id}, served"), format!("{id}, file")] {
            found.is(&subject, "good", "% of its life left");
            assert_eq!(found.every(&subject).len(), 1, "{found:?}");
        }
    }
}

#[test]
fn a_short_key_and_a_broken_digest_are_critical() {
    let dir = tempfile::tempdir().unwrap();
    let at = |file: &str| fs::read_to_string(dir.path().join(file)).unwrap();
    openssl(dir.path(), "req -x509 -newkey rsa:2048 -nodes -days 900 -subj /CN=root -keyout ca.key -out ca.crt");
    for (name, bits, digest) in [("short", 1024, "sha256"), ("sha1", 2048, "sha1")] {
        fs::write(dir.path().join("ext"), format!("subjectAltName=DNS:{name}.test\n")).unwrap();
        openssl(
            dir.path(),
            &format!("req -newkey rsa:{bits} -nodes -subj /CN={name} -keyout {name}.key -out {name}.csr"),
        );
        openssl(
            dir.path(),
            &format!(
                "x509 -req -{digest} -in {name}.csr -CA ca.crt -CAkey ca.key -days 90 -extfile ext -out {name}.crt"
            ),
        );
    }
    let nginx = Nginx::start(&[
        ("short.test", &at("short.crt"), &at("short.key")),
        ("sha1.test", &at("sha1.crt"), &at("sha1.key")),
    ]);
    let sections: String = ["short", "sha1"].map(|id| section(&nginx, id, &format!("{id}.test"))).concat();
    let found = found(&sections, &at("ca.crt"));
    found.code(1);
    for (id, part, remedy) in [("short", "has 1024 bits", "2048 bits or more"), ("sha1", "SHA-1", "request it anew")] {
        let of_it = found.every(&format!("{id}, served"));
        assert!(of_it.len() == 2 && of_it[1]["band"] == "critical", "{of_it:?}");
        let (seen, hint) = (of_it[1]["seen"].to_string(), of_it[1]["hint"].to_string());
        assert!(seen.contains(part) && hint.contains(remedy), "{seen}; {hint}");
    }
}

#[test]
fn the_key_beside_it_is_its_own_or_nobody_knows() {
    let authority = Authority::new("web");
    let (good, other) = (authority.good("web.test"), authority.good("web.test"));
    let project = Project::new("");
    let key = |id: &str, key: &str| {
        project.write(&format!("{id}.key"), key);
        format!(
            "[certificate.{id}]\nfile = \"web.crt\"\nkey = \"{id}.key\"\nca_file = \"ca.crt\"\nserver_name = \"web.test\"\n"
        )
    };
    project.write("right.key", &good.key);
    openssl(project.path(), "pkcs8 -topk8 -in right.key -passout pass:secret -out locked");
    let locked = fs::read_to_string(project.at("locked")).unwrap();
    let sections = [
        key("right", &good.key),
        key("wrong", &other.key),
        key("locked", &locked),
        key("garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        key("gone", "").replace("gone.key", "nowhere.key"),
    ];
    let config = fs::read_to_string(project.at("maint.toml")).unwrap() + &sections.concat();
    project.write("maint.toml", &config);
    project.write("web.crt", &good.chain);
    project.write("ca.crt", &authority.root.pem());
    job(&project, &["certificate = {}"]);
    let found = look(&project);
    found.code(1).is("right, key", "good", "belongs to the certificate");
    found.is("wrong, key", "critical", "wrong.key is the key of another certificate");
    assert!(found.field("wrong, key", "hint").contains("before the server is reloaded"), "{found:?}");
    for id in ["locked", "garbage"] {
        found.is(&format!("{id}, key"), "unknown", &format!("{id}.key"));
    }
    found.is("gone, key", "unknown", "nowhere.key");
    // nginx says the same of the two.
    let nginx = Nginx::start(&[("web.test", &good.chain, &good.key)]);
    assert!(nginx.nginx(&["-t"]).status.success());
    fs::write(nginx.file("web.test", "key"), &other.key).unwrap();
    let refused = String::from_utf8(nginx.nginx(&["-t"]).stderr).unwrap();
    assert!(refused.contains("key values mismatch"), "{refused}");
}

#[test]
fn renewed_on_disk_and_not_served_is_critical_until_the_reload() {
    let authority = Authority::new("web");
    let old = authority.issue("web.test", (-60 * DAY, 40 * DAY));
    let nginx = Nginx::start(&[("web.test", &old.chain, &old.key)]);
    let project = Project::new(&section(&nginx, "web", "web.test"));
    project.write("ca.crt", &authority.root.pem());
    job(&project, &["certificate = {}"]);
    look(&project).code(0).is("web, served", "good", "40 % of its life left");

    // As certbot leaves it: a new certificate of the same key's owner, and nobody told nginx.
    let key = KeyPair::from_pem(&old.key).unwrap();
    let mut params = CertificateParams::new(vec!["web.test".to_owned()]).unwrap();
    valid(&mut params, (-DAY, 89 * DAY));
    let renewed = params.signed_by(&key, &authority.middle).unwrap().pem() + &authority.middle.pem();
    fs::write(nginx.file("web.test", "crt"), &renewed).unwrap();
    let found = look(&project);
    found.code(1).is("web, file", "good", "99 % of its life left");
    let of_it = found.every("web, served");
    assert!(of_it[0]["band"] == "good" && of_it[1]["band"] == "critical", "{of_it:?}");
    assert!(of_it[1]["seen"].as_str().unwrap().starts_with("is not the file's: served until "), "{of_it:?}");
    assert!(of_it[1]["hint"].as_str().unwrap().contains("nginx -t && nginx -s reload"), "{of_it:?}");

    // What the hint says.
    assert!(nginx.nginx(&["-t"]).status.success());
    nginx.reload();
    let found = look(&project);
    found.is("web, served", "good", "99 % of its life left");
    assert_eq!(found.every("web, served").len(), 1, "{found:?}");

    // The file of the time before: a reload would bring the old one back.
    fs::write(nginx.file("web.test", "crt"), &old.chain).unwrap();
    let found = look(&project);
    let of_it = found.code(0).every("web, served");
    assert!(of_it[1]["band"] == "warning", "{of_it:?}");
    assert!(of_it[1]["seen"].as_str().unwrap().starts_with("is newer than the file's"), "{of_it:?}");
}
