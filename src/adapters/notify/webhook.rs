//! A message as JSON, signed where a key is given; docs/notifications.md has the format.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;

use super::{NotifyError, read};
use crate::{
    adapters::http::Request,
    model::{
        contents::hex,
        notification::Message,
        secret::{Secret, SecretSource},
    },
};

/// The format's version; a field that is added does not raise it.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Payload<'a> {
    version: u32,
    delivery: &'a str,
    alarm: bool,
    subject: String,
    text: String,
    #[serde(flatten)]
    message: &'a Message,
}

/// The whole request.
pub(super) fn request<'a>(
    url: &'a Secret,
    header: Option<&'a (String, SecretSource)>,
    hmac: Option<&SecretSource>,
    id: &str,
    message: &Message,
) -> Result<Request<'a>, NotifyError> {
    let payload = Payload {
        version: VERSION,
        delivery: id,
        alarm: message.is_alarm(),
        subject: message.subject(),
        text: message.text(),
        message,
    };
    let body = serde_json::to_vec(&payload).map_err(|e| NotifyError::Message(e.to_string()))?;
    let signature = hmac.map(|key| Ok::<_, NotifyError>(sign(&read(key)?, &body))).transpose()?;
    let mut request = Request::post(url, "application/json", body)
        .header("x-maint-delivery", Secret::new(id.to_owned()))
        .header("x-maint-event", Secret::new(message.why.word().to_owned()));
    if let Some(signature) = signature {
        request = request.header("x-maint-signature", Secret::new(format!("sha256={signature}")));
    }
    if let Some((name, value)) = header {
        request = request.header(name, read(value)?);
    }
    Ok(request)
}

fn sign(key: &Secret, body: &[u8]) -> String {
    // A key of any length is taken.
    let mac = Hmac::<sha2::Sha256>::new_from_slice(key.reveal().as_bytes());
    let mut mac = mac.unwrap_or_else(|_| unreachable!());
    mac.update(body);
    hex(&mac.finalize().into_bytes())
}
