//! Vulnerabilities of the images that run, and trials of certificates' renewals.
//!
//! Scanners' databases cannot be fetched here: their recorded answers (tests/data/scanners) are played by scripts under
//! their names. The Docker engine and certbot are real.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests set their stage with plain files and processes"
)]

#[path = "support/docker.rs"]
mod docker;
#[path = "../fuzz/src/scanner_output.rs"]
mod fuzzed;
#[path = "support/project.rs"]
mod project;
#[path = "support/registry.rs"]
mod registry;
#[path = "support/server.rs"]
mod server;

#[path = "security/base_images.rs"]
mod base_images;
#[path = "security/report.rs"]
mod report;

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use docker::Engine;
use project::{Ended, Project};
use proptest::{prelude::*, sample::Index};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/scanners");

/// A stack with one container that runs, a job with one `image_scan`, and scanners of our own.
struct Stage {
    engine: std::sync::Arc<Engine>,
    project: Project,
    container: String,
}

impl Stage {
    fn new(name: &str, parameters: &str) -> Self {
        let engine = Engine::shared();
        let project = Project::new(&format!("[docker]\nhost = \"{}\"\n", engine.host()));
        let container = format!("scan-{name}");
        engine.run(&container, &["--label", &format!("scan={name}")]);
        let step = format!("do.image_scan = {{ label = \"scan={name}\"{parameters} }}");
        project
            .write("jobs/scan.toml", &format!("description = \"x\"\n[[step]]\nid = \"scan\"\nretries = 0\n{step}\n"));
        Self { engine, project, container }
    }

    /// A scanner under its own name: `script` is what it does.
    fn scanner(&self, program: &str, script: &str) {
        let path = self.project.write(&format!("bin/{program}"), &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// trivy, whose database is of `built`, answering with the file of that name.
    fn trivy(&self, built: &str, answer: &str) {
        self.scanner(
            "trivy",
            &format!(
                "echo \"$@\" >> {log}\ncase \"$*\" in\n  version) echo 'Version: 0.58.1';;\n  \
                 'version --format json') echo '{{\"Version\":\"0.58.1\",\"VulnerabilityDB\":{{\"Version\":2,\"UpdatedAt\":\"{built}\"}}}}';;\n  \
                 *--download-db-only*) exit 0;;\n  \
                 *) while [ \"$1\" != --output ]; do shift; done; cp {DATA}/{answer} \"$2\";;\nesac",
                log = self.project.at("trivy.log").display()
            ),
        );
    }

    fn run(&self) -> Ended {
        let path = format!("{}:{}", self.project.at("bin").display(), std::env::var("PATH").unwrap());
        self.project.command(&["run", "scan", "--json"]).env("PATH", path).output().unwrap().into()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.engine.try_docker(&["rm", "-f", &self.container]);
    }
}

fn today() -> String {
    maint::adapters::clock::now().to_rfc3339()
}

#[test]
fn what_runs_is_scanned_by_its_id_and_only_new_findings_are_listed_again() {
    let stage = Stage::new("new", "");
    stage.trivy(&today(), "trivy.json");
    let first = stage.run().code(1);
    assert!(
        first.stdout.contains("new: CVE-2019-14697 (critical) in musl 1.1.20-r4, fixed in 1.1.20-r5"),
        "{}",
        first.stdout
    );
    assert!(first.stdout.contains("scan-new"), "the containers are named: {}", first.stdout);
    let id = stage.engine.docker(&["inspect", "--format", "{{.Image}}", &stage.container]);
    let log = fs::read_to_string(stage.project.at("trivy.log")).unwrap();
    assert!(log.contains(id.trim()), "scanned by id, not by name: {log}");
    assert!(log.contains("--skip-db-update"), "{log}");
    // The same again is known: to look at, and no failure.
    let again = stage.run().code(0);
    assert!(again.stdout.contains("2 known before that can be fixed"), "{}", again.stdout);
    assert!(!again.stdout.contains("new: CVE"), "{}", again.stdout);
    assert_eq!(project::names(&stage.project.at("state/scans")), Vec::<String>::new(), "no answer is left behind");
}

#[test]
fn what_is_left_out_needs_a_day_and_comes_back_after_it() {
    let ignore = |until| {
        format!(", ignore = [{{ id = \"CVE-2019-14697\", until = \"{until}\", reason = \"x87 is not used\" }}]")
    };
    let stage = Stage::new("ignored", &ignore("2999-01-01"));
    stage.trivy(&today(), "trivy.json");
    let said = stage.run().code(0).stdout;
    assert!(said.contains("2 left out on purpose"), "{said}");
    let stage = Stage::new("expired", &ignore("2020-01-01"));
    stage.trivy(&today(), "trivy.json");
    let said = stage.run().code(1).stdout;
    assert!(said.contains("was left out until 2020-01-01 (x87 is not used); it counts again"), "{said}");
    let stage = Stage::new("undated", &ignore("soon"));
    let said = stage.project.maint(&["check"]).code(2);
    assert!((said.stdout + &said.stderr).contains("`soon` is not a day"));
}

#[test]
fn without_a_current_database_nothing_is_clean() {
    // It cannot be fetched, and the one at hand is old.
    let stage = Stage::new("old", "");
    stage.scanner(
        "trivy",
        &format!(
            "case \"$*\" in version) echo 'Version: 0.58.1';; 'version --format json') echo \
             '{{\"VulnerabilityDB\":{{\"UpdatedAt\":\"2026-01-01T00:00:00Z\"}}}}';; *--download-db-only*) echo \
             'FATAL failed to download vulnerability DB' >&2; exit 1;; *) while [ \"$1\" != --output ]; do shift; done; \
             sed '/\"Vulnerabilities\"/,/^      \\]/d; s/^      \\],$/      ]/' {DATA}/trivy.json > \"$2\";; esac"
        ),
    );
    let said = stage.run().code(4).stdout;
    assert!(said.contains("what became known since is not in it"), "{said}");
    assert!(said.contains("failed to download vulnerability DB"), "the scanner's words: {said}");
    // There is none at all.
    stage.scanner(
        "trivy",
        "case \"$*\" in version) echo 'Version: 0.58.1';; 'version --format json') echo '{\"Version\":\"0.58.1\"}';; \
         *) echo 'FATAL no DB' >&2; exit 1;; esac",
    );
    let said = stage.run().code(4).stdout;
    assert!(said.contains("could not be scanned") && said.contains("FATAL no DB"), "{said}");
}

#[test]
fn an_empty_or_hostile_answer_is_unknown_and_never_clean() {
    let stage = Stage::new("hostile", "");
    for (answer, expected) in [
        ("{\"SchemaVersion\": 2}", "neither an operating system nor a package"),
        ("{\"SchemaVersion\": 3, \"Results\": []}", "schema version 3"),
        ("{\"SchemaVersion\": 2, \"Results\": [", "is not understood"),
        ("[[[[[[[[[[[[", "is not understood"),
        ("", "is not understood"),
    ] {
        let file = stage.project.write("answer.json", answer);
        stage.scanner(
            "trivy",
            &format!(
                "case \"$*\" in version) echo 'Version: 0.58.1';; 'version --format json') echo \
                 '{{\"VulnerabilityDB\":{{\"UpdatedAt\":\"{}\"}}}}';; *--download-db-only*) ;; \
                 *) while [ \"$1\" != --output ]; do shift; done; cp {} \"$2\";; esac",
                today(),
                file.display()
            ),
        );
        let said = stage.run().code(4).stdout;
        assert!(said.contains(expected), "{answer}: {said}");
    }
}

#[test]
fn grype_and_scout_are_understood_too() {
    use maint::adapters::scanner::{Kind, parse};
    let read = |kind, file: &str| parse(kind, &fs::read(Path::new(DATA).join(file)).unwrap()).unwrap();
    let told = |scan: maint::model::vulnerability::Scan| {
        assert!(scan.understood);
        scan.found
            .into_iter()
            .map(|v| format!("{} {} {} {:?} {:?}", v.id, v.package, v.installed, v.fixed, v.rating))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(read(Kind::Grype, "grype.json")),
        ["CVE-1999-0001 package-1 1.1.1 Some(\"1.2.1\") High", "CVE-1999-0002 package-2 2.2.2 None Critical",]
    );
    assert_eq!(
        told(read(Kind::Scout, "scout.sarif.json")),
        ["CVE-2019-9192 glibc 2.36-9+deb12u9 None Low", "CVE-2025-60876 busybox 1.37.0-r30 Some(\"1.37.1\") Critical",]
    );
    assert!(!parse(Kind::Grype, b"{\"matches\": []}").unwrap().understood, "nothing is known of it");
    for wrong in [
        "{\"runs\": []}",
        "{\"runs\": [{\"tool\": {\"driver\": {\"name\": \"other\", \"rules\": []}}}]}",
        "{\"runs\": [{\"tool\": {\"driver\": {\"name\": \"docker scout\"}}, \
         \"invocations\": [{\"executionSuccessful\": false}]}]}",
    ] {
        assert!(parse(Kind::Scout, wrong.as_bytes()).is_err(), "{wrong}");
    }
    let old = "{\"runs\": [{\"tool\": {\"driver\": {\"name\": \"docker scout\", \"rules\": [{\"id\": \"GMS-2022-9109\", \
               \"properties\": {\"purl\": \"pkg:maven/com.thoughtworks.xstream/xstream@1.4.5\", \"fixed_version\": \"not fixed\", \
               \"security-severity\": \"3.1\"}}]}}}]}";
    assert_eq!(told(parse(Kind::Scout, old.as_bytes()).unwrap()), ["GMS-2022-9109 xstream 1.4.5 None Low"]);
}

/// SARIF without a vulnerability is clean only where scout can say which packages it saw.
#[test]
fn scouts_empty_answer_is_clean_only_with_a_list_of_packages() {
    let stage = Stage::new("scout", ", scanner = \"scout\"");
    let sarif =
        stage.project.write("empty.json", "{\"runs\": [{\"tool\": {\"driver\": {\"name\": \"docker scout\"}}}]}");
    let play = |list: &str| {
        stage.scanner(
            "docker",
            &format!(
                "of=$2\ncase $of in version) echo 'version: v1.20.4'; exit 0;; esac\n\
                 while [ \"$1\" != --output ]; do shift; done\ncase $of in cves) cp {} \"$2\";; sbom) {list};; esac",
                sarif.display()
            ),
        );
        stage.run()
    };
    let said = play(&format!("cp {DATA}/scout.sbom.json \"$2\"")).code(0).stdout;
    assert!(said.contains("2 packages looked at"), "{said}");
    let said = play("echo '{\"artifacts\": []}' > \"$2\"").code(4).stdout;
    assert!(said.contains("neither an operating system nor a package"), "{said}");
    let said = play("echo '{\"artifacts\": null}' > \"$2\"").code(4).stdout;
    assert!(said.contains("is not understood"), "{said}");
    let said = play("echo 'log in first' >&2; exit 1").code(4).stdout;
    assert!(said.contains("could not be scanned") && said.contains("log in first"), "{said}");
}

#[test]
fn no_scanner_and_no_container_are_unknown() {
    let stage = Stage::new("none", "");
    let run =
        |path: String| -> Ended { stage.project.command(&["run", "scan"]).env("PATH", path).output().unwrap().into() };
    let said = run(stage.project.at("bin").display().to_string()).code(4);
    assert!((said.stdout + &said.stderr).contains("no scanner of images was found"));
    stage.engine.docker(&["rm", "-f", &stage.container]);
    let said = run(std::env::var("PATH").unwrap()).code(4);
    assert!(said.stdout.contains("nothing was scanned"), "{}", said.stdout);
}

/// certbot with directories of its own, and one certificate whose authority is not there.
fn certbot(project: &Project) {
    let here = project.at("certbot");
    for dir in ["c/renewal", "c/live/example", "c/archive/example"] {
        fs::create_dir_all(here.join(dir)).unwrap();
    }
    let made = rcgen::generate_simple_self_signed(["example.test".to_owned()]).unwrap();
    let archive = here.join("c/archive/example");
    fs::write(archive.join("privkey1.pem"), made.signing_key.serialize_pem()).unwrap();
    let mut conf = format!("version = 2.1.0\narchive_dir = {}\n", archive.display());
    for (key, file) in [("cert", "cert"), ("privkey", "privkey"), ("chain", "chain"), ("fullchain", "fullchain")] {
        if file != "privkey" {
            fs::write(archive.join(format!("{file}1.pem")), made.cert.pem()).unwrap();
        }
        let live = here.join(format!("c/live/example/{file}.pem"));
        std::os::unix::fs::symlink(format!("../../archive/example/{file}1.pem"), &live).unwrap();
        conf += &format!("{key} = {}\n", live.display());
    }
    conf += "[renewalparams]\nauthenticator = standalone\nserver = http://127.0.0.1:9/directory\n";
    fs::write(here.join("c/renewal/example.conf"), conf).unwrap();
}

fn renewal_job(project: &Project, more: &str) {
    let dirs = "config_dir = \"certbot/c\", work_dir = \"certbot/w\", logs_dir = \"certbot/l\"";
    let step = format!("do.cert_renew = {{ {dirs}{more} }}");
    project.write("jobs/renew.toml", &format!("description = \"x\"\n[[step]]\nid = \"renew\"\nretries = 0\n{step}\n"));
}

#[test]
fn a_renewal_that_would_fail_is_critical_in_certbots_own_words() {
    assert!(Command::new("certbot").arg("--version").output().is_ok(), "install it: apt-get install certbot");
    let project = Project::new("");
    certbot(&project);
    renewal_job(&project, ", args = [\"--server\", \"http://127.0.0.1:9/directory\"]");
    let said = project.maint(&["run", "renew"]).code(1).said();
    assert!(said.contains("live/example/fullchain.pem: its renewal would fail"), "{said}");
    assert!(said.contains("Failed to renew certificate example with error"), "{said}");
}

#[test]
fn a_trial_that_tried_nothing_proves_nothing() {
    let project = Project::new("");
    renewal_job(&project, "");
    // certbot itself exits with 0 here: "No simulated renewals were attempted."
    let said = project.maint(&["run", "renew"]).code(4).stdout;
    assert!(said.contains("it manages no certificate here"), "{said}");
}

/// certbot 2.1.0, in its own words: what it says on both its outputs, and how it ends.
fn said_by_certbot(out: &str, err: &str, code: i32) -> Ended {
    let project = Project::new("");
    let script = format!("#!/bin/sh\ncd {DATA}\ncat {out}\ncat {err} >&2\nexit {code}\n");
    let program = project.write("certbot.sh", &script);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    renewal_job(&project, &format!(", certbot = \"{}\"", program.display()));
    project.maint(&["run", "renew", "--json"])
}

#[test]
fn each_certificate_has_its_own_verdict_of_a_trial() {
    let said = said_by_certbot("certbot-succeeded.txt", "/dev/null", 0).code(0).stdout;
    assert_eq!(said.matches("its renewal would work").count(), 2, "{said}");
    let said = said_by_certbot("certbot-mixed-out.txt", "certbot-mixed-err.txt", 1).code(1).stdout;
    assert!(
        said.contains("\"/etc/letsencrypt/live/example.com/fullchain.pem\"") && said.contains("would work"),
        "{said}"
    );
    assert!(said.contains("\"/etc/letsencrypt/live/shop.example.com/fullchain.pem\""), "{said}");
    assert_eq!(said.matches("\"seen\":\"its renewal would fail\"").count(), 1, "{said}");
}

/// What scanners and certbot really say.
fn answers() -> Vec<Vec<u8>> {
    let mut files: Vec<_> = fs::read_dir(DATA).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut answers: Vec<_> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    answers
        .push(br#"{"Version":"0.58.1","VulnerabilityDB":{"Version":2,"UpdatedAt":"2026-12-31T00:00:00Z"}}"#.to_vec());
    answers.push(br#"{"schemaVersion":"v6.0.2","built":"2026-12-31T00:00:00Z","valid":true,"error":""}"#.to_vec());
    answers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn a_changed_answer_is_an_error_or_a_verdict_and_never_good_by_mistake(
        which in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), 0usize..24, prop_oneof![
            2 => proptest::collection::vec(any::<u8>(), 0..4),
            3 => prop::sample::select(HOSTILE.to_vec()).prop_map(|text| text.as_bytes().to_vec()),
        ]), 0..4),
    ) {
        let answers = answers();
        let mut bytes = which.get(&answers).clone();
        for (at, instead_of, new) in changes {
            let at = at.index(bytes.len() + 1);
            let end = (at + instead_of).min(bytes.len());
            bytes.splice(at..end, new);
        }
        fuzzed::nothing_is_good_by_mistake(&bytes);
    }
}

/// What a mutation puts into an answer.
const HOSTILE: [&str; 16] = [
    "null",
    "[]",
    "{}",
    "\"\"",
    "-1",
    "1e999",
    "99999999999999999999",
    "[[[[[[[[[[[[[[[[",
    "\\u0000",
    "\\ud800",
    ",",
    "\n",
    " (success)\n",
    " (failure)\n",
    "+262142-12-31T23:59:59Z",
    "%ff@%zz?#",
];
