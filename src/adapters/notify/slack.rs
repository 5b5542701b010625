//! A message as Slack's incoming webhooks take it (<https://docs.slack.dev/messaging/formatting-message-text>).

use serde_json::json;

use super::{NotifyError, cut};
use crate::model::{notification::Message, severity::Severity};

/// Slack's own limits are 150 and 3000.
const LONGEST_HEADER: usize = 150;
const LONGEST_VALUE: usize = 700;
const LONGEST_SECTION: usize = 2900;

/// The request's body.
pub(super) fn body(message: &Message) -> Result<Vec<u8>, NotifyError> {
    let subject = message.subject();
    let mut lines = String::new();
    for (label, value) in message.rows() {
        lines += &format!("*{label}*  {}\n", escape(&cut(&value, LONGEST_VALUE)));
    }
    // What is on telephones: the whole channel is woken only by what brings the system down.
    let mention = if message.is_alarm() && message.what.severity == Severity::P0 { "<!channel> " } else { "" };
    let payload = json!({
        "text": format!("{mention}{}", escape(&subject)),
        "attachments": [{
            "color": colour(message),
            "blocks": [
                { "type": "header", "text": { "type": "plain_text", "text": cut(&subject, LONGEST_HEADER) } },
                { "type": "section", "text": { "type": "mrkdwn", "text": cut(&lines, LONGEST_SECTION) } },
            ],
        }],
    });
    serde_json::to_vec(&payload).map_err(|e| NotifyError::Message(e.to_string()))
}

fn colour(message: &Message) -> &'static str {
    match (message.is_alarm(), message.what.severity) {
        (true, Severity::P0) => "#c00000",
        (true, Severity::P1) => "#e06c00",
        (true, Severity::P2) => "#e0b400",
        (true, Severity::P3) => "#8a8f98",
        (false, _) if message.what.state == crate::model::notification::State::Warning => "#e0b400",
        (false, _) => "#2e8b57",
    }
}

/// The three characters that are not text to Slack: without this a reason could ping everybody.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
