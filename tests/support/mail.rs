//! Real mail servers, exim and dovecot, that take connections and no mail.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::allow_attributes,
    reason = "every test file uses its own part"
)]

use std::{fs, os::unix::fs::PermissionsExt};

use super::server::{Server, free_port};

/// Whether a mail server begins TLS.
pub enum StartTls<'a> {
    /// With this chain and key.
    With(&'a str, &'a str),
    /// It says that it does, and cannot: its certificate is not there.
    Broken,
    /// It does not offer it.
    Not,
}

/// exim on 127.0.0.1, until it is dropped. Its log and its queue lie in its directory.
pub fn exim(tls: &StartTls<'_>) -> Server {
    Server::start("exim4", |command, dir, port| {
        // exim gives its rights up: it must come in, and may write to one directory.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(dir.join("spool")).unwrap();
        fs::set_permissions(dir.join("spool"), fs::Permissions::from_mode(0o777)).unwrap();
        let here = dir.display();
        let tls = match tls {
            StartTls::With(chain, key) => {
                fs::write(dir.join("mail.crt"), chain).unwrap();
                fs::write(dir.join("mail.key"), key).unwrap();
                format!(
                    "tls_advertise_hosts = *\ntls_certificate = {here}/mail.crt\ntls_privatekey = {here}/mail.key\n"
                )
            }
            StartTls::Broken => format!("tls_advertise_hosts = *\ntls_certificate = {here}/gone.crt\n"),
            StartTls::Not => "tls_advertise_hosts =\n".into(),
        };
        let conf = format!(
            "primary_hostname = mail.test\ndaemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\nkeep_environment =\n\
             spool_directory = {here}/spool\nlog_file_path = {here}/spool/%slog\npid_file_path = {here}/spool/pid\n\
             {tls}begin acl\n"
        );
        fs::write(dir.join("exim.conf"), conf).unwrap();
        command.arg("-C").arg(dir.join("exim.conf")).arg("-bdf");
    })
}

/// dovecot on 127.0.0.1, until it is dropped: IMAP at the server's port, POP3 at the other. Without a certificate it has no TLS.
pub fn dovecot(certificate: Option<(&str, &str)>) -> (Server, u16) {
    let pop3 = free_port();
    let server = Server::start("dovecot", |command, dir, port| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).unwrap();
        let here = dir.display();
        let tls = match certificate {
            Some((chain, key)) => {
                fs::write(dir.join("mail.crt"), chain).unwrap();
                fs::write(dir.join("mail.key"), key).unwrap();
                format!("ssl = yes\nssl_cert = <{here}/mail.crt\nssl_key = <{here}/mail.key\n")
            }
            None => "ssl = no\n".into(),
        };
        let listener = |kind: &str, port: u16| {
            format!(
                "service {kind}-login {{\n inet_listener {kind} {{\n port = {port}\n }}\n inet_listener {kind}s {{\n port = 0\n \
                 }}\n}}\n"
            )
        };
        let conf = format!(
            "base_dir = {here}/run\nlog_path = /dev/stderr\nlisten = 127.0.0.1\nprotocols = imap pop3\n{tls}{}{}\
             passdb {{\n driver = static\n args = password=x\n}}\n",
            listener("imap", port),
            listener("pop3", pop3)
        );
        fs::write(dir.join("dovecot.conf"), conf).unwrap();
        command.args(["-F", "-c"]).arg(dir.join("dovecot.conf"));
    });
    (server, pop3)
}
