//! E-mail over SMTP. Where TLS is asked for, nothing is sent without it, and certificates are checked.

use std::time::{Duration, SystemTime};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Tokio1Executor,
    message::{
        Mailbox, Message as Mail,
        header::{ContentType, HeaderName, HeaderValue},
    },
    transport::smtp::{
        Error as SmtpError,
        authentication::Credentials,
        client::{Certificate, CertificateStore, Tls, TlsParameters},
    },
};

use super::{NotifyError, read};
use crate::{
    adapters::roots,
    model::{
        failure::{Class, chain},
        notification::Message,
        notify::{Email, MailTls},
        severity::Severity,
    },
};

/// A mail takes several answers; some servers let strangers wait for the first.
const ANSWERS: u32 = 3;

/// Sends one mail to all recipients.
pub(super) async fn send(settings: &Email, within: Duration, id: &str, message: &Message) -> Result<(), NotifyError> {
    let mail = mail(settings, id, message)?;
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
        .port(settings.port)
        .tls(tls(settings)?)
        .timeout(Some(within));
    if let Some((user, password)) = &settings.login {
        builder = builder.credentials(Credentials::new(user.clone(), read(password)?.reveal().to_owned()));
    }
    let transport = builder.build();
    let whole = within * ANSWERS;
    match tokio::time::timeout(whole, transport.send(mail)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(refused(&error)),
        Err(_) => Err(NotifyError::Late { within: whole }),
    }
}

fn mail(settings: &Email, id: &str, message: &Message) -> Result<Mail, NotifyError> {
    let wrong = |e: &dyn std::fmt::Display| NotifyError::Message(e.to_string());
    let from: Mailbox = settings.from.parse().map_err(|e| wrong(&e))?;
    let domain = from.email.domain().to_owned();
    let mut builder = Mail::builder()
        .from(from)
        .subject(message.subject())
        .date(SystemTime::from(message.at))
        // The same one when it is sent again: mailboxes show it once.
        .message_id(Some(format!("<{id}@{domain}>")))
        .header(ContentType::TEXT_PLAIN);
    for to in &settings.to {
        builder = builder.to(to.parse().map_err(|e| wrong(&e))?);
    }
    if let Some(incident) = message.incident {
        let host: String = message.host.chars().filter(char::is_ascii_alphanumeric).collect();
        // What belongs together stands together.
        builder = builder.references(format!("<incident-{incident}.{host}@{domain}>"));
    }
    let mut mail = builder.body(message.text()).map_err(|e| wrong(&e))?;
    let mut raw = |name: &'static str, value: &str| {
        let header = HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned());
        mail.headers_mut().insert_raw(header);
    };
    // No answers by machines.
    raw("Auto-Submitted", "auto-generated");
    if message.is_alarm() && message.what.severity <= Severity::P1 {
        raw("X-Priority", "1");
        raw("Importance", "high");
    }
    Ok(mail)
}

fn tls(settings: &Email) -> Result<Tls, NotifyError> {
    if settings.tls == MailTls::None {
        return Ok(Tls::None);
    }
    let mut builder = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca_file {
        let certificate = Certificate::from_pem(&roots::pem(path)?).map_err(|e| refused(&e))?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    let parameters = builder.build_rustls().map_err(|e| refused(&e))?;
    Ok(match settings.tls {
        MailTls::Implicit => Tls::Wrapper(parameters),
        MailTls::Starttls | MailTls::None => Tls::Required(parameters),
    })
}

fn refused(error: &SmtpError) -> NotifyError {
    let what = chain(error);
    let lasting = error.is_permanent() || error.is_client() || what.contains("invalid peer certificate");
    NotifyError::Mail { what, class: if lasting { Class::Failed } else { Class::Retryable } }
}
