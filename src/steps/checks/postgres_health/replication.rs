//! Who follows whom, how far behind, and what is kept for those that do not.

use super::{advised, hidden};
use crate::{
    adapters::postgres::health::{Health, Recovery, Slot, Standby},
    model::{
        bands::Bands,
        finding::{Band, Finding, Unit},
        units::count,
    },
    steps::checks::{at_best, measured},
};

/// A segment of WAL: who has no more than that to replay may just have connected to a quiet server.
const SEGMENT: f64 = 16.0 * 1024.0 * 1024.0;

/// How far behind a standby may be, in time and in WAL.
pub(super) struct Lag {
    pub(super) seconds: Bands,
    pub(super) wal: Bands,
}

impl Lag {
    /// The worse of both; who has much to replay and knows no time is not known to be well.
    fn judge(&self, subject: String, seconds: Option<f64>, bytes: Option<f64>) -> Finding {
        let wal = bytes.map(|bytes| measured("", bytes, Unit::Bytes, Some(&self.wal)));
        let behind = wal.as_ref().map_or_else(|| "WAL unknown".into(), |wal| format!("{} of WAL", wal.seen));
        let finding = match seconds {
            Some(seconds) => {
                let finding = measured(subject, seconds, Unit::Seconds, Some(&self.seconds));
                Finding { seen: format!("{} behind, {behind}", finding.seen), ..finding }
            }
            None if bytes.is_none_or(|bytes| bytes > SEGMENT) => {
                Finding::unknown(subject, format!("{behind} behind, no time is known"))
            }
            None => Finding::good(subject, format!("{behind} behind")).value(0.0, Unit::Seconds),
        };
        at_best(finding, wal.map_or(Band::Good, |wal| wal.band))
    }
}

/// A server that replays: paused by somebody it falls behind, and without its primary it does not know how far.
fn of_recovery(recovery: &Recovery, lag: &Lag) -> Finding {
    let finding = lag.judge("lag of this standby".into(), recovery.seconds, recovery.bytes);
    let finding = match recovery.connected {
        Some(false) => {
            let seen = format!("it is not connected to its primary; {} of what it received last", finding.seen);
            at_best(Finding { seen, ..finding }, Band::Unknown)
        }
        _ => finding,
    };
    let finding =
        finding.source("pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn(), pg_last_xact_replay_timestamp()");
    if recovery.paused {
        let seen = format!("replay is paused; {}", finding.seen);
        return at_best(Finding { seen, ..finding }, Band::Warning).hint("go on: SELECT pg_wal_replay_resume()");
    }
    advised(finding, "look at its log, and at its primary")
}

/// Whether this server keeps up, and those that follow it; so many must be there.
pub(super) fn standbys(health: &Health, lag: &Lag, wanted: u32) -> Vec<Finding> {
    let mut findings: Vec<Finding> = health.recovery.iter().map(|recovery| of_recovery(recovery, lag)).collect();
    let Some(standbys) = &health.standbys else {
        if wanted > 0 {
            findings.push(hidden("standbys"));
        }
        return findings;
    };
    let there = u32::try_from(standbys.len()).unwrap_or(u32::MAX);
    if there < wanted {
        let seen = format!("{there} connected, {wanted} must be");
        let finding = Finding::critical("standbys", seen).value(f64::from(there), Unit::Count);
        findings.push(finding.source("pg_stat_replication").hint("start the missing one, and look at its log"));
    }
    findings.extend(standbys.iter().map(|standby| of_standby(standby, lag)));
    findings
}

fn of_standby(standby: &Standby, lag: &Lag) -> Finding {
    let finding = lag.judge(format!("standby {}", standby.name), standby.seconds, standby.bytes);
    let finding = Finding { seen: format!("{}, {}", finding.seen, standby.state), ..finding };
    let finding = if standby.state == "streaming" { finding } else { at_best(finding, Band::Warning) };
    advised(finding.source("pg_stat_replication"), "look at the standby's log, and at the network between them")
}

/// WAL that a slot holds back, and whether anybody fetches it.
pub(super) fn slot(slot: &Slot, bands: &Bands) -> Finding {
    let subject = format!("slot {}", slot.name);
    let held = slot.bytes.unwrap_or(0.0);
    let finding = measured(subject, held, Unit::Bytes, Some(bands));
    let mut seen = format!("holds back {}", finding.seen);
    if let Some(age) = slot.xmin_age {
        seen += &format!(" and {}", count(u64::try_from(age).unwrap_or(0), "transaction"));
    }
    let (band, more) = match (slot.wal_status.as_deref(), slot.active) {
        (Some("lost"), _) => (Band::Critical, ", and has lost WAL that it needs"),
        (Some("unreserved"), _) => (Band::Warning, ", and is about to lose WAL that it needs"),
        (_, false) => (Band::Warning, ", and nobody uses it"),
        (_, true) => (Band::Good, ""),
    };
    let finding = at_best(Finding { seen: seen + more, ..finding }, band).source("pg_replication_slots");
    advised(finding, &format!("bring its consumer back, or drop it: SELECT pg_drop_replication_slot('{}')", slot.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_and_standbys_are_judged() {
        let bands = Bands::below(1e9, 10e9);
        let slot = |active, status: &str, bytes| {
            let slot =
                Slot { name: "s".into(), active, wal_status: Some(status.into()), bytes: Some(bytes), xmin_age: None };
            super::slot(&slot, &bands).band
        };
        assert_eq!(slot(true, "reserved", 1e6), Band::Good);
        assert_eq!(slot(false, "reserved", 1e6), Band::Warning);
        assert_eq!(slot(true, "extended", 20e9), Band::Critical);
        assert_eq!(slot(true, "lost", 0.0), Band::Critical);
        let lag = Lag { seconds: Bands::below(10.0, 60.0), wal: Bands::below(1e9, 10e9) };
        let standby = |state: &str, seconds, bytes| {
            let standby = Standby { name: "b".into(), state: state.into(), seconds, bytes };
            of_standby(&standby, &lag).band
        };
        assert_eq!(standby("streaming", None, Some(0.0)), Band::Good);
        assert_eq!(standby("streaming", Some(61.0), Some(0.0)), Band::Critical);
        assert_eq!(standby("streaming", Some(0.1), Some(2e9)), Band::Warning);
        assert_eq!(standby("streaming", None, Some(100e6)), Band::Unknown, "no time known is not no time behind");
        assert_eq!(standby("streaming", None, Some(11e9)), Band::Critical);
        assert_eq!(standby("startup", None, None), Band::Unknown);
        assert_eq!(standby("catchup", Some(1.0), Some(0.0)), Band::Warning);
        let replays = |seconds, paused, connected| {
            of_recovery(&Recovery { seconds, bytes: Some(0.0), paused, connected }, &lag).band
        };
        assert_eq!(replays(Some(0.0), false, Some(true)), Band::Good);
        assert_eq!(replays(Some(0.0), true, Some(true)), Band::Warning);
        assert_eq!(replays(Some(3.0), false, Some(false)), Band::Unknown);
        assert_eq!(replays(Some(61.0), false, Some(false)), Band::Critical);
        assert_eq!(replays(Some(3.0), false, None), Band::Good, "what is fed from an archive has no connection");
    }
}
