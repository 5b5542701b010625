//! What is told: incidents, and every message to every channel. A message stands here before it is sent.

use chrono::{DateTime, Utc};
use rusqlite::{Row, Transaction, TransactionBehavior, params};
use serde::Serialize;

use super::{Ledger, LedgerError};
use crate::model::notification::{Ack, Incident, Message};

/// How far a message came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is to be sent, for the first time or again.
    Waiting,
    /// Somebody sends it; or died over it, and whether it arrived is not known.
    Sending,
    /// The channel took it.
    Accepted,
    /// It is not sent any more: a newer one says more.
    Superseded,
    /// The channel never took it.
    GivenUp,
}

impl DeliveryState {
    /// As the ledger and the tables show it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Superseded => "superseded",
            Self::GivenUp => "given up",
        }
    }

    fn from_word(word: &str) -> Self {
        let all = [Self::Sending, Self::Accepted, Self::Superseded, Self::GivenUp];
        all.into_iter().find(|state| state.word() == word).unwrap_or(Self::Waiting)
    }
}

/// A message to a channel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    /// Its id (UUIDv7), which receivers see too.
    pub id: String,
    /// The channel.
    pub channel: String,
    /// Why it is sent.
    pub why: String,
    /// The job or unit.
    pub about: String,
    /// The run.
    pub run: Option<String>,
    /// When it was recorded.
    pub created: DateTime<Utc>,
    /// How far it came.
    pub state: DeliveryState,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried again.
    pub next_try: DateTime<Utc>,
    /// When it came to its end.
    pub ended: Option<DateTime<Utc>>,
    /// Why the last try failed.
    pub error: Option<String>,
    /// What is sent; `None` where this version cannot read it.
    pub message: Option<Message>,
}

const DELIVERY: &str =
    "id, channel, why, about, run, created, state, tries, next_try, ended, error, message FROM delivery";
const INCIDENT: &str = "id, fingerprint, what, since, times, level, told, ack_by, ack_at, ack_note FROM incident";

/// One form, so that times compare as text.
fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn bad<E: std::error::Error + Send + Sync + 'static>(column: usize) -> impl FnOnce(E) -> rusqlite::Error {
    move |e| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(e))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<DateTime<Utc>> {
    row.get::<_, String>(column)?.parse().map_err(bad::<chrono::ParseError>(column))
}

fn time_if_any(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<DateTime<Utc>>> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text.parse().map_err(bad::<chrono::ParseError>(column))).transpose()
}

fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: row.get(0)?,
        channel: row.get(1)?,
        why: row.get(2)?,
        about: row.get(3)?,
        run: row.get(4)?,
        created: time(row, 5)?,
        state: DeliveryState::from_word(&row.get::<_, String>(6)?),
        tries: row.get(7)?,
        next_try: time(row, 8)?,
        ended: time_if_any(row, 9)?,
        error: row.get(10)?,
        message: serde_json::from_str(&row.get::<_, String>(11)?).ok(),
    })
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let by: Option<String> = row.get(7)?;
    let (at, note) = (time_if_any(row, 8)?, row.get(9)?);
    Ok(Incident {
        id: row.get(0)?,
        fingerprint: row.get(1)?,
        what: serde_json::from_str(&row.get::<_, String>(2)?).map_err(bad(2))?,
        since: time(row, 3)?,
        times: row.get(4)?,
        level: row.get(5)?,
        told: time(row, 6)?,
        ack: by.zip(at).map(|(by, at)| Ack { by, at, note }),
    })
}

fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))
}

impl Ledger {
    /// Does several things as one, while no other maint writes.
    ///
    /// # Errors
    /// The first one's; then nothing was done.
    pub fn as_one<T>(&self, work: impl FnOnce() -> Result<T, LedgerError>) -> Result<T, LedgerError> {
        let sql = self.sql("telling");
        let tx = Transaction::new_unchecked(&self.db, TransactionBehavior::Immediate).map_err(&sql)?;
        let done = work()?;
        tx.commit().map_err(sql)?;
        Ok(done)
    }

    /// Open incidents, of one job or unit or of all.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn incidents(&self, about: Option<&str>) -> Result<Vec<Incident>, LedgerError> {
        let query = format!("SELECT {INCIDENT} WHERE closed IS NULL AND (?1 IS NULL OR about = ?1) ORDER BY id");
        let sql = self.sql("reading incidents");
        let mut query = self.db.prepare(&query).map_err(&sql)?;
        let found = query.query_map([about], incident).map_err(&sql)?;
        found.collect::<Result<_, _>>().map_err(&sql)
    }

    /// When a job or unit was last seen to fail.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn last_failure(&self, about: &str) -> Result<Option<DateTime<Utc>>, LedgerError> {
        let found = self.db.query_row("SELECT max(last) FROM incident WHERE about = ?", [about], |r| time_if_any(r, 0));
        found.map_err(self.sql("reading incidents"))
    }

    /// Writes a new incident, or what changed of a known one; gives its number.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_incident(&self, incident: &Incident) -> Result<i64, LedgerError> {
        let sql = self.sql("recording an incident");
        let what = json(&incident.what).map_err(&sql)?;
        let (last, told) = (text(incident.what.at), text(incident.told));
        if incident.id != 0 {
            let query = "UPDATE incident SET what = ?, run = ?, last = ?, times = ?, level = ?, told = ? WHERE id = ?";
            let values = params![what, incident.what.run, last, incident.times, incident.level, told, incident.id];
            return self.db.execute(query, values).map(|_| incident.id).map_err(sql);
        }
        let query = "INSERT INTO incident (about, fingerprint, what, run, since, last, times, level, told) \
                     VALUES (?,?,?,?,?,?,?,?,?)";
        let (about, since) = (&incident.what.about, text(incident.since));
        let values = params![
            about,
            incident.fingerprint,
            what,
            incident.what.run,
            since,
            last,
            incident.times,
            incident.level,
            told
        ];
        self.db.execute(query, values).map(|_| self.db.last_insert_rowid()).map_err(sql)
    }

    /// An incident is over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close_incident(&self, id: i64, at: DateTime<Utc>) -> Result<(), LedgerError> {
        let done = self.db.execute("UPDATE incident SET closed = ? WHERE id = ?", params![text(at), id]);
        done.map(drop).map_err(self.sql("closing an incident"))
    }

    /// Somebody knows; gives false where the incident is over.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn acknowledge(&self, id: i64, ack: &Ack) -> Result<bool, LedgerError> {
        let query = "UPDATE incident SET ack_by = ?, ack_at = ?, ack_note = ? WHERE id = ? AND closed IS NULL";
        let done = self.db.execute(query, params![ack.by, text(ack.at), ack.note, id]);
        done.map(|changed| changed > 0).map_err(self.sql("recording an acknowledgement"))
    }

    /// The channels that were to hear of an incident.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn told_of(&self, incident: i64) -> Result<Vec<String>, LedgerError> {
        let sql = self.sql("reading who was told");
        let query = "SELECT DISTINCT channel FROM delivery WHERE incident = ? AND state <> 'superseded'";
        let mut query = self.db.prepare(query).map_err(&sql)?;
        let found = query.query_map([incident], |r| r.get(0)).map_err(&sql)?;
        found.collect::<Result<_, _>>().map_err(&sql)
    }

    /// Records a message to a channel, to be sent at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn post(&self, id: &str, channel: &str, message: &Message) -> Result<(), LedgerError> {
        let sql = self.sql("recording a message");
        let query = "INSERT INTO delivery (id, channel, why, about, run, incident, created, message, state, next_try) \
                     VALUES (?,?,?,?,?,?,?,?,'waiting',?)";
        let now = text(message.at);
        let (why, body) = (message.why.word(), json(message).map_err(&sql)?);
        let values = params![id, channel, why, message.what.about, message.what.run, message.incident, now, body, now];
        self.db.execute(query, values).map(drop).map_err(sql)
    }

    /// Channels with messages that are to be sent by `now`, or that somebody died over.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn channels_due(&self, now: DateTime<Utc>) -> Result<Vec<String>, LedgerError> {
        let sql = self.sql("looking for messages to send");
        let query = "SELECT DISTINCT channel FROM delivery WHERE state IN ('waiting', 'sending') AND next_try <= ?";
        let mut query = self.db.prepare(query).map_err(&sql)?;
        let found = query.query_map([text(now)], |r| r.get(0)).map_err(&sql)?;
        found.collect::<Result<_, _>>().map_err(&sql)
    }

    /// A channel's messages that were not taken yet, the oldest first: they go out in their order. Call it while holding the
    /// channel's lock: then whoever was sending one is dead.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn waiting(&self, channel: &str) -> Result<Vec<Delivery>, LedgerError> {
        let query =
            format!("SELECT {DELIVERY} WHERE channel = ? AND state IN ('waiting', 'sending') ORDER BY created, id");
        self.deliveries_by(&query, &[&channel])
    }

    /// A channel that does not answer is left alone for a while.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn postpone(&self, channel: &str, until: DateTime<Utc>) -> Result<(), LedgerError> {
        let query = "UPDATE delivery SET next_try = ?1 WHERE channel = ?2 AND state = 'waiting' AND next_try < ?1";
        let done = self.db.execute(query, params![text(until), channel]);
        done.map(drop).map_err(self.sql("recording that a channel does not answer"))
    }

    /// Somebody begins to send it.
    ///
    /// # Errors
    /// When it cannot be written: then it must not be sent.
    pub fn sending(&self, id: &str) -> Result<(), LedgerError> {
        let done = self.db.execute("UPDATE delivery SET state = 'sending', tries = tries + 1 WHERE id = ?", [id]);
        done.map(drop).map_err(self.sql("recording that a message is sent"))
    }

    /// What became of a message: accepted, given up, superseded; or it waits until `next_try`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn delivered(
        &self,
        id: &str,
        state: DeliveryState,
        at: DateTime<Utc>,
        error: Option<&str>,
    ) -> Result<(), LedgerError> {
        let waits = state == DeliveryState::Waiting;
        let query = "UPDATE delivery SET state = ?1, error = ?2, next_try = iif(?3, ?4, next_try), \
                     ended = iif(?3, NULL, ?4) WHERE id = ?5";
        let done = self.db.execute(query, params![state.word(), error, waits, text(at), id]);
        done.map(drop).map_err(self.sql("recording what became of a message"))
    }

    /// Pings of a job that were not taken say nothing any more once there is a newer one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn supersede(&self, channel: &str, about: &str, at: DateTime<Utc>) -> Result<(), LedgerError> {
        let query = "UPDATE delivery SET state = 'superseded', ended = ? \
                     WHERE channel = ? AND about = ? AND state = 'waiting'";
        let done = self.db.execute(query, params![text(at), channel, about]);
        done.map(drop).map_err(self.sql("recording what became of a message"))
    }

    /// The newest messages first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn deliveries(&self, limit: u32) -> Result<Vec<Delivery>, LedgerError> {
        let query = format!("SELECT {DELIVERY} ORDER BY created DESC, id DESC LIMIT ?");
        self.deliveries_by(&query, &[&limit])
    }

    /// The messages about a run.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn deliveries_of(&self, run: &str) -> Result<Vec<Delivery>, LedgerError> {
        self.deliveries_by(&format!("SELECT {DELIVERY} WHERE run = ? ORDER BY created, id"), &[&run])
    }

    fn deliveries_by(&self, query: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Delivery>, LedgerError> {
        let sql = self.sql("reading messages");
        let mut query = self.db.prepare(query).map_err(&sql)?;
        let found = query.query_map(values, delivery).map_err(&sql)?;
        found.collect::<Result<_, _>>().map_err(&sql)
    }
}
