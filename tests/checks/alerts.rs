//! `alerts`: what cannot be asked does not fire, and is not silence.

use super::stage::looked;
use crate::{
    prometheus::{Stack, alertmanager, fire, get, request},
    server::silent,
};

const STEP: &str = "alerts = {}";

#[test]
fn what_fires_is_found_and_what_was_silenced_is_not() {
    let keeper = alertmanager(None);
    let section = format!("[alertmanager.main]\nurl = \"{}\"\n", keeper.url());
    looked(&section, STEP).code(0).is("main", "good", "no unresolved alerts");
    fire(
        &keeper,
        r#"[{"labels":{"alertname":"HighLatency","severity":"critical","service":"hub"},"annotations":{"summary":"slow"}},
            {"labels":{"alertname":"DiskFilling","severity":"warning"}},
            {"labels":{"alertname":"Planned","severity":"critical"}}]"#,
    );
    let silence = r#"{"matchers":[{"name":"alertname","value":"Planned","isRegex":false}],"startsAt":"2020-01-01T00:00:00Z",
        "endsAt":"2099-01-01T00:00:00Z","createdBy":"test","comment":"planned"}"#;
    let answer = request(keeper.port, "POST", "/api/v2/silences", silence);
    assert!(answer.contains("silenceID"), "{answer}");
    assert!(get(keeper.port, "/api/v2/alerts").contains("Planned"));
    // A silence is applied when alerts are next looked at by Alertmanager itself.
    let found = looked(&section, STEP);
    found.code(1).is("HighLatency (hub)", "critical", "slow").is("DiskFilling", "warning", "fires for");
    assert_eq!(found.subjects().len(), 2, "{found:?}");
}

#[test]
fn an_alertmanager_that_refuses_or_is_silent_is_unknown() {
    // Of the documentation of Prometheus' web configuration: the password is "test".
    let web = "basic_auth_users: { test: $2b$12$hNf2lSsxfm0.i4a.1kVpSOVyBCfIB51VRjgBUyv6kdnyTlgWj81Ay }\n";
    let keeper = alertmanager(Some(web));
    let section = format!("[alertmanager.main]\nurl = \"{}\"\n", keeper.url());
    let found = looked(&section, STEP);
    found.code(4).is("main", "unknown", "it answered 401");
    assert!(found.field("main", "hint").contains("password_file"), "{found:?}");
    looked(&format!("{section}user = \"test\"\npassword = \"test\"\n"), STEP).code(0).is(
        "main",
        "good",
        "no unresolved",
    );
    let (_held, url) = silent();
    looked(&format!("[alertmanager.main]\nurl = \"{url}\"\ntimeout = \"1s\"\n"), STEP).code(4).is(
        "main",
        "unknown",
        "within 1 s",
    );
}

#[test]
fn without_alertmanager_prometheus_is_asked_and_the_watchdog_must_bark() {
    let rules = "groups: [ { name: a, rules: [ { alert: Down, expr: y == 1, labels: { severity: page } }, \
                 { alert: Watchdog, expr: vector(1) } ] } ]\n";
    let stack = Stack::with_rules("y 1\n", "", rules);
    crate::project::wait_for("the alert", || get(stack.prometheus.port, "/api/v1/alerts").contains("\"Down\""));
    let (_held, url) = silent();
    let found = looked(
        &format!(
            "[prometheus.main]\nurl = \"{}\"\n[alertmanager.main]\nurl = \"{url}\"\ntimeout = \"1s\"\n\
             prometheus = \"main\"\nwatchdog = \"Watchdog\"\n",
            stack.prometheus.url()
        ),
        STEP,
    );
    found.code(1).is("main", "unknown", "no answer").is(
        &format!("Down (127.0.0.1:{})", stack.exporter.port),
        "critical",
        "firing",
    );
}

#[test]
fn a_missing_watchdog_is_not_silence() {
    let keeper = alertmanager(None);
    let section = format!("[alertmanager.main]\nurl = \"{}\"\nwatchdog = \"Watchdog\"\n", keeper.url());
    looked(&section, STEP).code(4).is("main", "unknown", "alerts do not arrive");
    fire(&keeper, r#"[{"labels":{"alertname":"Watchdog"}}]"#);
    looked(&section, STEP).code(0).is("main", "good", "no unresolved alerts");
}
