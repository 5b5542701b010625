//! What monitoring is told of each job, and how it is written down for Prometheus.
//!
//! Instants are told, never ages: an age that nobody renews stays young for ever. What succeeded last is told for as long as
//! the ledger has it, whatever failed since.

use chrono::{DateTime, Utc};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{ids::JobName, severity::Severity};

/// Every outcome's word, so that a graph has a line for those that never happened.
const OUTCOMES: [&str; 7] = ["ok", "changed", "skipped", "warning", "unknown", "interrupted", "failed"];

/// What is told of a job's newest run that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct LastRun {
    /// When it started.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// How, in a word.
    pub outcome: String,
}

/// So many messages of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deliveries {
    /// The channel.
    pub channel: String,
    /// What became of them, in a word.
    pub state: String,
    /// How many.
    pub count: i64,
}

/// What is told of a job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobMetrics {
    /// Its name.
    pub job: JobName,
    /// How bad a failure is.
    pub severity: Severity,
    /// Its newest run that ended.
    pub last: Option<LastRun>,
    /// When a run of it ended well.
    pub last_success: Option<DateTime<Utc>>,
    /// When a set of it was verified, and the level.
    pub last_verified: Vec<(String, DateTime<Utc>)>,
    /// Bytes of its newest set.
    pub set_bytes: Option<u64>,
    /// The first slot that is not accounted for: in the past where it is overdue.
    pub next: Option<DateTime<Utc>>,
    /// How long a run may take, in seconds.
    pub timeout: f64,
    /// Runs at work, or dead without anybody having noticed.
    pub running: i64,
    /// Runs in the ledger by outcome.
    pub runs: Vec<(String, i64)>,
    /// Slots in the ledger that passed without a run.
    pub missed: i64,
}

// The label is not `job`: that one is Prometheus' own, and it would call ours `exported_job`.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfJob {
    name: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfOutcome {
    name: String,
    outcome: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfLevel {
    name: String,
    level: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfJobSeverity {
    name: String,
    severity: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfChannel {
    channel: String,
    state: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OfBuild {
    version: String,
    stack: String,
}

type Numbers<L> = Family<L, Gauge<f64, std::sync::atomic::AtomicU64>>;

/// Every metric, and where it is written.
struct Book {
    registry: Registry,
    build: Numbers<OfBuild>,
    info: Numbers<OfJobSeverity>,
    start: Numbers<OfJob>,
    end: Numbers<OfJob>,
    duration: Numbers<OfJob>,
    outcome: Numbers<OfOutcome>,
    success: Numbers<OfJob>,
    verified: Numbers<OfLevel>,
    bytes: Numbers<OfJob>,
    next: Numbers<OfJob>,
    timeout: Numbers<OfJob>,
    running: Numbers<OfJob>,
    runs: Numbers<OfOutcome>,
    missed: Numbers<OfJob>,
    deliveries: Numbers<OfChannel>,
}

fn family<L>(registry: &mut Registry, name: &str, help: &str) -> Numbers<L>
where
    L: Clone + std::hash::Hash + Eq + EncodeLabelSet + std::fmt::Debug + Send + Sync + 'static,
{
    let family = Numbers::<L>::default();
    registry.register(name, help, family.clone());
    family
}

impl Book {
    fn new() -> Self {
        let mut r = Registry::with_prefix("maint");
        Self {
            build: family(&mut r, "build_info", "The maint that wrote this"),
            info: family(&mut r, "job_info", "A job and how bad its failure is"),
            start: family(&mut r, "job_last_run_start_timestamp_seconds", "When the newest run that ended started"),
            end: family(&mut r, "job_last_run_end_timestamp_seconds", "When the newest run that ended did so"),
            duration: family(&mut r, "job_last_run_duration_seconds", "How long the newest run that ended took"),
            outcome: family(&mut r, "job_last_run_outcome", "1 for the outcome of the newest run that ended"),
            success: family(&mut r, "job_last_success_timestamp_seconds", "When a run last ended well"),
            verified: family(
                &mut r,
                "job_last_verified_timestamp_seconds",
                "When a set was last verified to this level",
            ),
            bytes: family(&mut r, "job_last_set_bytes", "Size of the newest set"),
            next: family(
                &mut r,
                "job_next_expected_timestamp_seconds",
                "The first slot that is not accounted for; in the past: overdue",
            ),
            timeout: family(&mut r, "job_timeout_seconds", "How long a run may take"),
            running: family(&mut r, "job_running", "Runs at work"),
            runs: family(&mut r, "job_runs", "Runs in the ledger by outcome"),
            missed: family(&mut r, "job_missed_slots", "Slots in the ledger that passed without a run"),
            deliveries: family(&mut r, "notification_deliveries", "Messages in the ledger by what became of them"),
            registry: r,
        }
    }

    fn job(&self, job: &JobMetrics) {
        let of = || OfJob { name: job.job.to_string() };
        let seconds = |at: DateTime<Utc>| at.timestamp_millis() as f64 / 1000.0;
        let label = OfJobSeverity { name: job.job.to_string(), severity: job.severity.to_string() };
        self.info.get_or_create(&label).set(1.0);
        self.timeout.get_or_create(&of()).set(job.timeout);
        self.running.get_or_create(&of()).set(job.running as f64);
        self.missed.get_or_create(&of()).set(job.missed as f64);
        for outcome in OUTCOMES {
            let label = || OfOutcome { name: job.job.to_string(), outcome: outcome.to_owned() };
            let runs = job.runs.iter().find(|(word, _)| word == outcome).map_or(0, |(_, runs)| *runs);
            self.runs.get_or_create(&label()).set(runs as f64);
            if let Some(last) = &job.last {
                self.outcome.get_or_create(&label()).set(f64::from(u8::from(last.outcome == outcome)));
            }
        }
        if let Some(last) = &job.last {
            self.start.get_or_create(&of()).set(seconds(last.started));
            self.end.get_or_create(&of()).set(seconds(last.ended));
            self.duration.get_or_create(&of()).set(seconds(last.ended) - seconds(last.started));
        }
        if let Some(at) = job.last_success {
            self.success.get_or_create(&of()).set(seconds(at));
        }
        for (level, at) in &job.last_verified {
            let label = OfLevel { name: job.job.to_string(), level: level.clone() };
            self.verified.get_or_create(&label).set(seconds(*at));
        }
        if let Some(bytes) = job.set_bytes {
            self.bytes.get_or_create(&of()).set(bytes as f64);
        }
        if let Some(at) = job.next {
            self.next.get_or_create(&of()).set(seconds(at));
        }
    }
}

/// The metrics in Prometheus' text format.
///
/// # Errors
/// Never in practice: only memory is written.
pub fn encode(
    stack: &str,
    version: &str,
    jobs: &[JobMetrics],
    deliveries: &[Deliveries],
) -> Result<String, std::fmt::Error> {
    let book = Book::new();
    let build = OfBuild { version: version.to_owned(), stack: stack.to_owned() };
    book.build.get_or_create(&build).set(1.0);
    for job in jobs {
        book.job(job);
    }
    for of in deliveries {
        let label = OfChannel { channel: of.channel.clone(), state: of.state.clone() };
        book.deliveries.get_or_create(&label).set(of.count as f64);
    }
    let mut text = String::new();
    text::encode(&mut text, &book.registry)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobMetrics {
        JobMetrics {
            job: "nightly".parse().unwrap(),
            severity: Severity::P1,
            last: Some(LastRun {
                started: "2026-11-01T00:00:00Z".parse().unwrap(),
                ended: "2026-11-01T00:01:30Z".parse().unwrap(),
                outcome: "failed".into(),
            }),
            last_success: Some("2026-10-31T00:02:00Z".parse().unwrap()),
            last_verified: vec![("drill".into(), "2026-10-31T00:02:00Z".parse().unwrap())],
            set_bytes: Some(1234),
            next: Some("2026-11-02T00:00:00Z".parse().unwrap()),
            timeout: 60.0,
            running: 0,
            runs: vec![("failed".into(), 1)],
            missed: 2,
        }
    }

    #[test]
    fn instants_are_told_and_a_failure_hides_no_success() {
        let text = encode("s", "1", &[job()], &[]).unwrap();
        for line in [
            "maint_job_last_success_timestamp_seconds{name=\"nightly\"} 1793404920.0",
            "maint_job_last_run_outcome{name=\"nightly\",outcome=\"failed\"} 1.0",
            "maint_job_last_run_outcome{name=\"nightly\",outcome=\"ok\"} 0.0",
            "maint_job_last_run_duration_seconds{name=\"nightly\"} 90.0",
            "maint_job_last_verified_timestamp_seconds{name=\"nightly\",level=\"drill\"} 1793404920.0",
            "maint_job_last_set_bytes{name=\"nightly\"} 1234.0",
            "maint_job_missed_slots{name=\"nightly\"} 2.0",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}\n{text}");
        }
    }

    #[test]
    fn what_never_was_is_absent_and_not_zero() {
        let new = JobMetrics { last: None, last_success: None, last_verified: Vec::new(), ..job() };
        let text = encode("s\"x", "1", &[new], &[]).unwrap();
        assert!(!text.contains("maint_job_last_success_timestamp_seconds{"), "{text}");
        assert!(text.contains("stack=\"s\\\"x\""), "{text}");
    }
}
