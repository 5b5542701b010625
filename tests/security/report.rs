//! The month's security as one page.

use std::fs;

use serde_json::Value;

use crate::{Stage, certbot, docker::Engine, project::names, today};

/// A checklist of all four, and the report at its end.
fn job(stage: &Stage, images: &str, more: &str) {
    let dirs = "config_dir = \"certbot/c\", work_dir = \"certbot/w\", logs_dir = \"certbot/l\"";
    let ignore = "ignore = [{ id = \"CVE-2000-1\", until = \"2999-01-01\", reason = \"not <reachable>\" }]";
    let steps = [
        ("base-images", format!("image_pull = {{ images = [\"{images}\"] }}")),
        (
            "vulnerabilities",
            format!("image_scan = {{ label = \"scan={}\", {ignore} }}", &stage.container["scan-".len()..]),
        ),
        ("certificates", "certificate = {}".to_owned()),
        ("renewal", format!("cert_renew = {{ {dirs}, args = [\"--server\", \"http://127.0.0.1:9/directory\"] }}")),
        ("report", "security_report = {}".to_owned()),
    ];
    let mut text = format!("description = \"x\"\n{more}");
    for (id, step) in steps {
        text += &format!("[[step]]\nid = \"{id}\"\nretries = 0\ndo.{step}\n");
    }
    stage.project.write("jobs/scan.toml", &text);
}

/// A certificate of that many days, of which so many are left.
fn certificate(stage: &Stage, name: &str, life: i64, left: i64) {
    let mut params = rcgen::CertificateParams::new(vec![format!("{name}.test")]).unwrap();
    let now = maint::adapters::clock::now();
    let at = |days: i64| {
        let then = now + chrono::TimeDelta::days(days);
        rcgen::date_time_ymd(
            chrono::Datelike::year(&then),
            u8::try_from(chrono::Datelike::month(&then)).unwrap(),
            u8::try_from(chrono::Datelike::day(&then)).unwrap(),
        )
    };
    (params.not_before, params.not_after) = (at(left - life), at(left));
    let key = rcgen::KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    stage.project.write(&format!("{name}.pem"), &made.pem());
}

/// The newest report: as data, and as a page.
fn newest(stage: &Stage) -> (Value, String) {
    let dir = stage.project.at("reports/security");
    let page = names(&dir).into_iter().filter(|name| name.ends_with(".html")).max_by_key(|name| name.len()).unwrap();
    let data = fs::read(dir.join(page.replace(".html", ".json"))).unwrap();
    (serde_json::from_slice(&data).unwrap(), fs::read_to_string(dir.join(page)).unwrap())
}

fn part<'a>(report: &'a Value, step: &str) -> &'a Value {
    report["parts"].as_array().unwrap().iter().find(|part| part["step"] == step).unwrap()
}

fn set(name: &str) -> Stage {
    let stage = Stage::new(name, "");
    let conf = fs::read_to_string(stage.project.at("maint.toml")).unwrap();
    let certificates = "[certificate.web]\nfile = \"web.pem\"\nca_file = \"web.pem\"\n\
                        [certificate.mail]\nfile = \"mail.pem\"\nca_file = \"mail.pem\"\n";
    stage.project.write("maint.toml", &(conf + certificates));
    certificate(&stage, "web", 90, 60);
    certificate(&stage, "mail", 90, 10);
    certbot(&stage.project);
    stage.trivy(&today(), "trivy.json");
    stage
}

#[test]
fn everything_is_on_one_page_and_what_nobody_could_look_at_comes_first() {
    let stage = set("report");
    job(&stage, "localhost:9/nothing:1", "mode = \"checklist\"\n");
    let said = stage.run().code(1).stdout;
    let (report, page) = newest(&stage);
    assert_eq!(report["report"], "security");

    let image = &part(&report, "base-images")["findings"][0];
    assert_eq!((&image["band"], &image["detail"]["about"]), (&"unknown".into(), &"image".into()), "{image:#}");
    let scan = part(&report, "vulnerabilities");
    let first = &scan["findings"][0];
    assert_eq!((&first["band"], &first["detail"]["new"]), (&"critical".into(), &true.into()), "{scan:#}");
    assert_eq!(first["detail"]["found"][0]["id"], "CVE-2019-14697");
    assert!(scan["summary"].as_str().unwrap().contains("by trivy 0.58.1"), "{scan:#}");
    let left = |name: &str| {
        let findings = part(&report, "certificates")["findings"].as_array().unwrap();
        let of = findings.iter().find(|f| f["subject"].as_str().unwrap().starts_with(name)).unwrap();
        (of["band"].clone(), of["detail"]["left"].as_f64().unwrap())
    };
    let ((web, of_web), (mail, of_mail)) = (left("web"), left("mail"));
    assert_eq!((web, mail), ("good".into(), "critical".into()));
    assert!((0.64..0.68).contains(&of_web) && (0.09..0.13).contains(&of_mail), "{of_web} {of_mail}");
    assert_eq!(part(&report, "renewal")["findings"][0]["band"], "critical");

    // The page: verdict, what is not known, and only then the parts.
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    assert!(place("class=\"verdict is-critical\"") < place("Could not be checked"), "{page}");
    assert!(place("Could not be checked") < place("<h2>Base images"), "{page}");
    assert!(place("Not known: image localhost:9/nothing:1") < place("Could not be checked"), "in the verdict: {page}");
    assert!(page.contains("CVE-2019-14697") && page.contains("1.1.20-r5") && page.contains("Left out on purpose"));
    assert!(page.contains("not &lt;reachable&gt;") && !page.contains("<reachable>"), "escaped");
    assert!(page.contains("its renewal would fail") && page.contains("Database of 20"), "{page}");
    assert!(said.contains("reports/security/"), "{said}");

    // A second report of the month stands beside the first, and what was found then is known now.
    stage.run().code(1);
    assert_eq!(names(&stage.project.at("reports/security")).len(), 4);
    let (report, page) = newest(&stage);
    assert_eq!(part(&report, "vulnerabilities")["findings"][0]["detail"]["new"], false);
    assert!(page.contains("known before"), "{page}");
}

#[test]
fn a_step_that_failed_or_was_left_out_is_not_known_and_the_report_is_made_all_the_same() {
    let stage = set("left-out");
    job(&stage, "localhost:9/nothing:1", "mode = \"checklist\"\n");
    let path = format!("{}:{}", stage.project.at("bin").display(), std::env::var("PATH").unwrap());
    let args = ["run", "scan", "--skip", "base-images", "--skip", "renewal"];
    // An engine that is not there: the scan ends with an error, not with a finding.
    let conf = fs::read_to_string(stage.project.at("maint.toml")).unwrap();
    stage.project.write("maint.toml", &conf.replace(&stage.engine.host(), "unix:///nowhere.sock"));
    let ended = stage.project.command(&args).env("PATH", path).output().unwrap();
    assert_ne!(ended.status.code(), Some(0));
    let (report, page) = newest(&stage);
    for step in ["base-images", "vulnerabilities", "renewal"] {
        let part = part(&report, step);
        assert_eq!(part["findings"][0]["band"], "unknown", "{part:#}");
    }
    assert_eq!(part(&report, "renewal")["findings"][0]["seen"], "left out of this run: nobody looked");
    assert!(page.contains("cannot be reached"), "{page}");
}

#[test]
fn a_report_that_could_not_be_made_in_the_end_is_refused_in_the_beginning() {
    let stage =
        Stage { engine: Engine::shared(), project: crate::project::Project::new(""), container: "scan-none".into() };
    stage.project.write("maint.toml", "stack = \"x\"\nstate_dir = \"s\"\n[certificate.web]\nfile = \"web.pem\"\n");
    let refused = |expected: &str| {
        let said = stage.project.maint(&["check"]).code(2);
        let said = said.stdout + &said.stderr;
        assert!(said.contains(expected), "{said}");
    };
    job(&stage, "redis:7", "");
    refused("in a sequence the first one that fails ends the run without it");
    let step = |id: &str, kind: &str| format!("[[step]]\nid = \"{id}\"\ndo.{kind} = {{}}\n");
    let write = |steps: String| {
        stage.project.write("jobs/scan.toml", &format!("description = \"x\"\nmode = \"checklist\"\n{steps}"))
    };
    write(step("report", "security_report"));
    refused("there is none");
    write(step("a", "certificate") + &step("report", "security_report") + &step("b", "certificate"));
    refused("others follow");
}
