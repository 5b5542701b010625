//! What Slack, webhooks and their servers get, and whom maint believes.

use hmac::{Hmac, KeyInit, Mac};
use maint::model::contents::hex;

use super::{
    authority::Authority,
    mend, project,
    receiver::{Answers, Receiver},
    webhook,
};

#[test]
fn a_webhook_is_signed_and_carries_its_own_header() {
    let receiver = Receiver::start();
    let more = "header = \"Authorization\"\nheader_value_file = \"header\"\nhmac_key_file = \"key\"";
    let project = project(&webhook(&receiver, "/hook", more));
    project.write("header", "Bearer abc\n");
    project.write("key", "the key\n");
    project.maint(&["run", "tree"]).code(1);
    let got = receiver.take().pop().unwrap();
    assert_eq!(got.header("authorization"), Some("Bearer abc"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.header("x-maint-event"), Some("failed"));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(b"the key").unwrap();
    mac.update(&got.body);
    let expected = format!("sha256={}", hex(&mac.finalize().into_bytes()));
    assert_eq!(got.header("x-maint-signature"), Some(expected.as_str()));
}

#[test]
fn a_redirect_is_no_delivery() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(302, ""));
    let project = project(&webhook(&receiver, "/hook", ""));
    let said = project.maint(&["notify", "test", "hook"]).code(1).stderr;
    assert!(said.contains("it answered 302"), "{said}");
    assert_eq!(receiver.take().len(), 1, "a POST must not become a GET somewhere else");
}

#[test]
fn slack_gets_blocks_in_which_nothing_pings_but_a_p0() {
    let receiver = Receiver::start();
    let config = "[notify.ops]\ntype = \"slack\"\nurl_file = \"slack\"\n";
    let project = project(config);
    project.write("slack", &receiver.url("/services/T/B/x"));
    let job = std::fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    project.write("jobs/tree.toml", &job.replace("\"test\"", "\"<!channel> & <b>\""));
    project.maint(&["run", "tree"]).code(1);
    let mild = receiver.take().pop().unwrap().json();
    let text = mild["text"].as_str().unwrap();
    assert!(text.starts_with("P2: tree failed"), "{mild:#}");
    let section = mild["attachments"][0]["blocks"][1]["text"]["text"].as_str().unwrap();
    assert!(section.contains("&lt;!channel&gt; &amp; &lt;b&gt;"), "{section}");
    assert!(!mild.to_string().contains("<!channel>"), "{mild:#}");
    project.write("jobs/tree.toml", &format!("severity = \"P0\"\n{job}"));
    project.maint(&["run", "tree"]).code(1);
    let bad = receiver.take().pop().unwrap().json();
    assert!(bad["text"].as_str().unwrap().starts_with("<!channel> P0 CRITICAL: tree failed"), "{bad:#}");
    assert_ne!(bad["attachments"][0]["color"], mild["attachments"][0]["color"]);
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    assert!(receiver.take()[0].json()["text"].as_str().unwrap().starts_with("tree is well again"));
    project.write("slack", "http://slack.example.org/services/T/B/x");
    let said = project.maint(&["notify", "test", "ops"]).code(1).stderr;
    assert!(said.contains("must be https://"), "{said}");
}

#[test]
fn certificates_are_always_checked() {
    let (ours, other) = (Authority::new(), Authority::new());
    let receiver = Receiver::with_tls(ours.server());
    let project = project(&webhook(&receiver, "/hook", "ca_file = \"ca.pem\""));
    project.write("ca.pem", &ours.ca);
    project.maint(&["notify", "test", "hook"]).code(0);
    assert_eq!(receiver.take().len(), 1);
    project.write("ca.pem", &other.ca);
    let said = project.maint(&["notify", "test", "hook"]).code(1).stderr;
    assert!(said.contains("its certificate is not to be trusted") && said.contains("ca_file"), "{said}");
    project.write("ca.pem", "nothing");
    let said = project.maint(&["notify", "test", "hook"]).code(1).stderr;
    assert!(said.contains("no certificate in it"), "{said}");
    let config = std::fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &config.replace("ca_file = \"ca.pem\"", "").replace("localhost", "127.0.0.1"));
    project.maint(&["notify", "test", "hook"]).code(1);
    assert_eq!(receiver.take().len(), 0);
    project.maint(&["notify", "test", "nobody"]).code(2);
}
