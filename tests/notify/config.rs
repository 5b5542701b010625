//! What `maint check` says of channels.

use super::project;

#[track_caller]
fn wrong(section: &str, expected: &[&str]) {
    let project = project(section);
    let said = project.maint(&["check"]).code(2);
    let said = said.stdout + &said.stderr;
    for text in expected {
        assert!(said.contains(text), "{text}:\n{said}");
    }
}

#[test]
fn mistakes_are_named_at_their_place() {
    wrong("[notify.a]\ntype = \"slack\"\n", &["where does this channel go?", "url_file"]);
    wrong("[notify.a]\ntype = \"pager\"\n", &["unknown value `pager`"]);
    wrong(
        "[notify.a]\ntype = \"slack\"\nurl_env = \"X\"\nhost = \"h\"\nto = [\"x@y.org\"]\nlevel = 4\n",
        &["a channel of this type has no `host`", "has no `to`", "expected 1, 2 or 3"],
    );
    wrong(
        "[notify.a]\ntype = \"webhook\"\nurl = \"ftp://x\"\nheader = \"X-A\"\njobs = [\"tre\"]\nalso = [\"nothing\"]\n",
        &["unknown value `nothing`"],
    );
    wrong(
        "[notify.a]\ntype = \"webhook\"\nurl = \"ftp://x\"\nheader = \"X-A\"\n",
        &["expected `https://host/…`", "a header without its value"],
    );
    wrong(
        "[notify.a]\ntype = \"webhook\"\nurl_env = \"X\"\njobs = [\"tre\"]\n",
        &["no job is called `tre`", "`tree`?"],
    );
    wrong(
        "[notify.a]\ntype = \"heartbeat\"\nurl_env = \"X\"\nlevel = 2\nslugs = { no = \"x\" }\n",
        &["it has no level"],
    );
    wrong("[notify.a]\ntype = \"heartbeat\"\nurl_env = \"X\"\nslugs = { no = \"x\" }\n", &["no job is called `no`"]);
    wrong(
        "[notify.a]\ntype = \"email\"\nfrom = \"nobody\"\nuser = \"u\"\n",
        &["which mail server", "`nobody` is not an address", "who gets it?", "a user without a password"],
    );
    wrong(
        "[notify.a]\ntype = \"email\"\nhost = \"h\"\ntls = \"none\"\nuser = \"u\"\npassword_env = \"P\"\n\
         from = \"a@b.org\"\nto = [\"a@b.org\"]\n",
        &["the password would be readable on the way"],
    );
    wrong("[escalation]\nlevel2_after = \"3h\"\n", &["level 3 cannot be told before level 2"]);
    wrong("[notify.A]\ntype = \"slack\"\nurl_env = \"X\"\n", &["`A` is not a name"]);
}

#[test]
fn secrets_in_the_file_and_mail_without_tls_are_worth_a_look() {
    let project = project(
        "[notify.a]\ntype = \"slack\"\nurl = \"https://hooks.example.org/x\"\n\
         [notify.b]\ntype = \"webhook\"\nurl = \"https://hooks.example.org/x\"\n\
         [notify.c]\ntype = \"email\"\nhost = \"relay\"\ntls = \"none\"\nfrom = \"a@b.org\"\nto = [\"a@b.org\"]\n\
         [notify.d]\ntype = \"webhook\"\nurl_file = \"open\"\n",
    );
    project.write("open", "https://hooks.example.org/y\n");
    let said = project.maint(&["check"]).code(0);
    let said = said.stdout + &said.stderr;
    assert_eq!(said.matches("a url in the configuration can be read").count(), 1, "{said}");
    assert!(said.contains("can be read and changed by everybody on the way"), "{said}");
    assert!(said.contains("everybody on this host can read this url"), "{said}");
}
