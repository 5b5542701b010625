//! Channels that fail for a while, hang, or never take anything.

use std::time::{Duration, Instant};

use super::{
    asked, breaks, let_due, mend, nowhere_in, project,
    receiver::{Answers, Receiver, closed_port},
    webhook,
};

#[test]
fn what_fails_twice_is_told_within_the_run() {
    let receiver = Receiver::start();
    receiver.answers(Answers::After(2));
    let project = project(&webhook(&receiver, "/hook", ""));
    let ended = project.maint(&["run", "tree"]).code(1);
    assert!(ended.stdout.contains("hook was told"), "{}", ended.stdout);
    let got = receiver.take();
    assert_eq!(got.len(), 3);
    assert!(got.iter().all(|one| one.body == got[0].body), "the same message each time");
    assert_eq!(asked(&project, "SELECT state || ' ' || tries FROM delivery"), "accepted 3");
}

#[test]
fn a_channel_that_hangs_holds_up_no_other_and_changes_no_outcome() {
    let (hanging, well) = (Receiver::start(), Receiver::start());
    hanging.answers(Answers::Hang);
    let project = project(&[webhook(&hanging, "/hook", ""), webhook(&well, "/well", "")].concat());
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    breaks(&project);
    let begun = Instant::now();
    let ended = project.maint(&["run", "tree"]).code(1);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(ended.stdout.contains("hook was not told (tree, failed): no answer within 1 s"), "{}", ended.stdout);
    assert_eq!((well.take().len(), hanging.take().len()), (1, 1));
    let log = project.maint(&["notify", "log"]).code(0).stdout;
    assert!(log.contains("waiting") && log.contains("no answer within 1 s"), "{log}");
    // Not before its time, but when somebody asks.
    hanging.answers(Answers::Always(200, "ok"));
    project.maint(&["recover"]).code(0);
    assert_eq!(hanging.take().len(), 0);
    project.maint(&["notify", "flush"]).code(0);
    assert_eq!(hanging.take().len(), 1);
}

#[test]
fn what_a_channel_never_takes_waits_in_its_order_and_is_given_up_in_the_end() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(500, "out of order"));
    let project = project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree"]).code(1);
    assert_eq!(receiver.take().len(), 3);
    // It is known to fail: one try each time, and nothing else before that one.
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(receiver.take().len(), 1);
    let failed = project.maint(&["notify", "flush"]).code(1);
    assert!(failed.stderr.contains("it answered 500: out of order"), "{}", failed.stderr);
    receiver.take();
    receiver.answers(Answers::Always(200, "ok"));
    let_due(&project);
    project.maint(&["recover"]).code(0);
    let whys: Vec<_> = receiver.take().iter().map(|got| got.json()["why"].as_str().unwrap().to_owned()).collect();
    assert_eq!(whys, ["failed", "recovered"]);

    receiver.answers(Answers::Always(500, "out of order"));
    breaks(&project);
    project.maint(&["run", "tree"]).code(1);
    super::ledger(&project)
        .execute_batch("UPDATE delivery SET created = '2020-01-01T00:00:00.000Z' WHERE state = 'waiting'")
        .unwrap();
    let given_up = project.maint(&["notify", "flush"]).code(1).stderr;
    assert!(given_up.contains("not tried again"), "{given_up}");
    project.maint(&["notify", "flush"]).code(0);
}

#[test]
fn one_message_that_is_refused_keeps_no_other_back() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(400, "no"));
    let project = project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree"]).code(1);
    assert_eq!(receiver.take().len(), 1, "what is refused is not tried again at once");
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    assert_eq!(receiver.take().len(), 2);
}

#[test]
fn a_channel_that_is_no_more_holds_nothing() {
    let receiver = Receiver::start();
    receiver.answers(Answers::Always(500, ""));
    let project = project(&webhook(&receiver, "/hook", ""));
    project.maint(&["run", "tree"]).code(1);
    project.write("maint.toml", "stack = \"test\"\nstate_dir = \"state\"\n");
    let said = project.maint(&["notify", "flush"]).code(1).stderr;
    assert!(said.contains("no such channel any more"), "{said}");
    project.maint(&["notify", "flush"]).code(0);
}

#[test]
fn a_ledger_that_cannot_be_used_is_told_all_the_same() {
    let receiver = Receiver::start();
    let project = project(&webhook(&receiver, "/hook", ""));
    project.write("state/ledger.sqlite", "this is no database, but long enough to look like one to nobody\n");
    let order = project.maint(&["run", "tree"]);
    assert_ne!(order.code, 0);
    let got = receiver.take();
    assert_eq!(got.len(), 1, "{}\n{}", order.stdout, order.stderr);
    assert!(got[0].text().contains("ledger.sqlite"), "{}", got[0].text());
}

#[test]
fn no_secret_is_shown_or_written() {
    const SECRETS: [&str; 5] = ["T0/B0/hookpath", "hdrvalue-7d1", "hmackey-9a3", "smtppass-5c2", "pingkey-1f4"];
    let receiver = Receiver::start();
    let (slack, web) = (receiver.url("/T0/B0/hookpath"), receiver.url("/web?token=pingkey-1f4"));
    let dead = format!("http://127.0.0.1:{}/pingkey-1f4/{{job}}", closed_port());
    let more = format!(
        "[notify.slack]\ntype = \"slack\"\nurl_file = \"secrets/slack\"\n\
         [notify.web]\ntype = \"webhook\"\nurl_file = \"secrets/web\"\nheader = \"Authorization\"\n\
         header_value_file = \"secrets/header\"\nhmac_key_file = \"secrets/hmac\"\n\
         [notify.beat]\ntype = \"heartbeat\"\nurl_file = \"secrets/beat\"\n\
         [notify.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\ntls = \"none\"\nuser = \"maint\"\n\
         password_file = \"secrets/mail\"\nfrom = \"maint@example.org\"\nto = [\"ops@example.org\"]\n",
        closed_port()
    );
    let project = project(&more);
    let secrets = [("slack", slack.as_str()), ("web", &web), ("beat", &dead)];
    let more = [("header", "hdrvalue-7d1"), ("hmac", "hmackey-9a3"), ("mail", "smtppass-5c2")];
    for (name, text) in secrets.into_iter().chain(more) {
        project.write(&format!("secrets/{name}"), &format!("{text}\n"));
    }
    let mut said = String::new();
    for answers in [Answers::Always(200, "ok"), Answers::Always(302, ""), Answers::Always(404, "no_service")] {
        receiver.answers(answers);
        for args in [["run", "tree"], ["notify", "flush"], ["notify", "log"], ["notify", "log"]] {
            let mut command = project.command(&args);
            let output = command.env("MAINT_LOG", "trace").output().unwrap();
            said += &String::from_utf8_lossy(&output.stdout);
            // The traces of hyper and of the mail client are about bytes that they send; maint's own are meant.
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            said += &stderr.lines().filter(|line| line.contains("maint")).collect::<Vec<_>>().join("\n");
        }
        for channel in ["slack", "web", "beat", "mail"] {
            let ended = project.maint(&["notify", "test", channel]);
            said += &(ended.stdout + &ended.stderr);
        }
    }
    said += &project.maint(&["notify", "log", "--json"]).code(0).stdout;
    assert!(said.contains("slack"), "{said}");
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} was shown:\n{said}");
    }
    nowhere_in(&project.at("state"), &SECRETS);
}
