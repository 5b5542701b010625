//! `alerts`: what cannot be asked does not fire, and is not silence.

use super::stage::looked;
use crate::{
    prometheus::{Stack, alertmanager, fire, get, request},
    server::{Server, silent},
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

#[test]
fn what_another_alert_explains_is_not_counted() {
    let keeper = alertmanager(None);
    let section = format!("[alertmanager.main]\nurl = \"{}\"\n", keeper.url());
    fire(
        &keeper,
        r#"[{"labels":{"alertname":"HostDown","instance":"a","severity":"critical"}},
            {"labels":{"alertname":"ServiceDown","instance":"a","severity":"critical"}},
            {"labels":{"alertname":"ServiceDown","instance":"b","severity":"critical"}}]"#,
    );
    crate::project::wait_for("the inhibition", || get(keeper.port, "/api/v2/alerts").contains("\"suppressed\""));
    let found = looked(&section, STEP);
    found.code(1).is("HostDown (a)", "critical", "fires for").is("ServiceDown (b)", "critical", "fires for");
    assert_eq!(found.subjects().len(), 2, "{found:?}");
}

#[test]
fn prometheus_alone_is_asked_and_what_is_pending_is_a_warning() {
    let rules =
        "groups: [ { name: a, rules: [ { alert: Soon, expr: y == 1, for: 1h, labels: { severity: page } } ] } ]\n";
    let stack = Stack::with_rules("y 1\n", "", rules);
    let section = format!("[prometheus.main]\nurl = \"{}\"\n", stack.prometheus.url());
    crate::project::wait_for("the alert", || get(stack.prometheus.port, "/api/v1/alerts").contains("\"pending\""));
    let soon = format!("Soon (127.0.0.1:{})", stack.exporter.port);
    looked(&section, STEP).code(0).is(&soon, "warning", "pending");
    *stack.metrics.lock().unwrap() = "y 0\n".into();
    crate::project::wait_for("its end", || !get(stack.prometheus.port, "/api/v1/alerts").contains("\"pending\""));
    looked(&section, STEP).code(0).is("Prometheus main", "good", "no alerts");
}

/// nginx in Grafana's place: it wants the token, and the filters that keep silenced and inhibited alerts away.
const GRAFANA: &str = "daemon off; pid nginx.pid; events {}\n\
    http { access_log off; server { listen 127.0.0.1:PORT;\n\
    location = /api/alertmanager/grafana/api/v2/alerts { default_type application/json;\n\
    if ($http_authorization != \"Bearer glsa_test\") { return 401 '{\"message\":\"Unauthorized\"}'; }\n\
    if ($args != \"active=true&silenced=false&inhibited=false\") { return 400; }\n\
    alias ALERTS; } } }\n";

#[test]
fn grafana_is_asked_as_alertmanager_is() {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/alerts/grafana.json");
    let grafana = Server::start("nginx", |command, dir, port| {
        let config = GRAFANA.replace("PORT", &port.to_string()).replace("ALERTS", "alerts.json");
        std::fs::copy(recorded, dir.join("alerts.json")).unwrap();
        std::fs::set_permissions(dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(dir.join("nginx.conf"), config.replace("alias ", &format!("alias {}/", dir.display()))).unwrap();
        command.arg("-p").arg(dir).arg("-c").arg(dir.join("nginx.conf")).args(["-e", "stderr"]);
    });
    let section = |token: &str| {
        format!("[alertmanager.grafana]\nurl = \"{}\"\nkind = \"grafana\"\ntoken = \"{token}\"\n", grafana.url())
    };
    let found = looked(&section("glsa_test"), STEP);
    found.code(1).is("HighLatency (hub)", "critical", "p99 above 2 s");
    // A rule that Grafana cannot ask watches nothing.
    found.is("DatasourceError (CPU usage)", "unknown", "cannot ask what this rule needs");
    assert_eq!(found.subjects().len(), 2, "{found:?}");
    assert!(found.field("HighLatency (hub)", "hint").contains("https://wiki.example/latency"));
    assert!(found.field("HighLatency (hub)", "source").contains("/api/alertmanager/grafana/api/v2/alerts?"));
    looked(&section("glsa_old"), STEP).code(4).is("grafana", "unknown", "it answered 401");
    std::fs::write(grafana.dir.path().join("alerts.json"), "[]").unwrap();
    looked(&section("glsa_test"), STEP).code(0).is("grafana", "good", "no unresolved alerts");
}
