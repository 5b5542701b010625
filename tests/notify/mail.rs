//! E-mail, by a real mail server with TLS.

use super::{authority::Authority, mend, project, project::Project, smtp::MailServer};

fn mailing(server: &MailServer, authority: &Authority, tls: &str, more: &str) -> Project {
    let project = project(&format!(
        "[notify.mail]\ntype = \"email\"\nhost = \"localhost\"\nport = {}\ntls = \"{tls}\"\nca_file = \"ca.pem\"\n\
         from = \"maint <maint@ops.example.org>\"\nto = [\"ops@example.org\", \"lead@example.org\"]\n\
         answer_within = \"3s\"\n{more}\n",
        server.port
    ));
    project.write("ca.pem", &authority.ca);
    project.write("password", "open sesame\n");
    project
}

const LOGIN: &str = "user = \"maint\"\npassword_file = \"password\"";

#[test]
fn a_failure_and_its_recovery_arrive_over_starttls() {
    let authority = Authority::new();
    let server = MailServer::start(&authority, "starttls", "open sesame");
    let project = mailing(&server, &authority, "starttls", LOGIN);
    let job = std::fs::read_to_string(project.at("jobs/tree.toml")).unwrap();
    project.write("jobs/tree.toml", &format!("severity = \"P0\"\n{job}"));
    let ended = project.maint(&["run", "tree"]).code(1);
    assert!(ended.stdout.contains("mail was told: tree, failed"), "{}", ended.stdout);
    mend(&project);
    project.maint(&["run", "tree"]).code(0);
    let mails = server.mails();
    assert_eq!(mails.len(), 2);
    let (failed, well) = (&mails[0], &mails[1]);
    for expected in [
        "X-Got-Tls: True\n",
        "X-Got-From: maint@ops.example.org\n",
        "X-Got-To: ops@example.org lead@example.org\n",
        "Subject: P0 CRITICAL: tree failed (test on ",
        "Auto-Submitted: auto-generated\n",
        "X-Priority: 1\n",
        "*** P0 CRITICAL: ANSWER WITHIN 15 MINUTES ***\n",
        "  job       tree\n",
        "@ops.example.org>\n",
    ] {
        assert!(failed.contains(expected), "{expected}:\n{failed}");
    }
    assert!(well.contains("Subject: tree is well again") && !well.contains("X-Priority"), "{well}");
    let thread = |mail: &str| mail.lines().find(|line| line.starts_with("References:")).unwrap().to_owned();
    assert_eq!(thread(failed), thread(well), "both belong together");
}

#[test]
fn tls_from_the_first_byte() {
    let authority = Authority::new();
    let server = MailServer::start(&authority, "implicit", "open sesame");
    let project = mailing(&server, &authority, "implicit", LOGIN);
    project.maint(&["notify", "test", "mail"]).code(0);
    let mail = server.mails().remove(0);
    assert!(mail.contains("X-Got-Tls: True") && mail.contains("This channel works"), "{mail}");
    project.write("password", "wrong\n");
    let said = project.maint(&["notify", "test", "mail"]).code(1).stderr;
    assert!(said.contains("535") && !said.contains("wrong"), "{said}");
    project.write("ca.pem", &Authority::new().ca);
    let said = project.maint(&["notify", "test", "mail"]).code(1).stderr;
    assert!(said.contains("certificate"), "{said}");
    assert_eq!(server.mails().len(), 1);
}

#[test]
fn nothing_is_sent_without_the_tls_that_was_asked_for() {
    let authority = Authority::new();
    let server = MailServer::start(&authority, "plain", "");
    let project = mailing(&server, &authority, "starttls", "");
    let said = project.maint(&["notify", "test", "mail"]).code(1).stderr;
    assert!(said.contains("STARTTLS"), "{said}");
    assert_eq!(server.mails().len(), 0);
    // A mail server of this host may do without.
    let config = std::fs::read_to_string(project.at("maint.toml")).unwrap();
    project.write("maint.toml", &config.replace("starttls", "none"));
    project.maint(&["notify", "test", "mail"]).code(0);
    assert!(server.mails()[0].contains("X-Got-Tls: False"));
    // What is refused for good is not tried again at once, and what may pass is.
    for (to, tries, code) in [("nobody@example.org", "1", "550"), ("later@example.org", "3", "451")] {
        project.write("maint.toml", &config.replace("starttls", "none").replace("lead@example.org", to));
        super::ledger(&project).execute_batch("DELETE FROM delivery; DELETE FROM incident").unwrap();
        let said = project.maint(&["run", "tree"]).code(1).stdout;
        assert!(said.contains(code), "{said}");
        assert_eq!(super::asked(&project, "SELECT tries || '' FROM delivery"), tries);
    }
}
