//! systemd units, made from the configuration: pure, and the same on every host and every day.
//!
//! [`render`] makes the files, [`layout`] knows where they lie, [`install`] compares them with what is there, puts them there and
//! takes them away. Every file begins with [`MARK`]: what has another first line is somebody else's, and is never touched.

pub mod error;
pub mod install;
pub mod layout;
mod values;

use std::path::PathBuf;

use values::Values;

use crate::{
    config::{Config, Job},
    model::{calendar::on_calendar, due::CatchUp, schedule::Dst},
};

/// The first line of every file.
pub const MARK: &str = "# Made by `maint systemd` from maint.toml and jobs/; changes are lost.";

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its path below `systemd/`: `maint@.service`, `tmpfiles.d/maint.conf`.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Unit {
    fn new(path: impl Into<PathBuf>, template: &str, values: &Values) -> Self {
        Self { path: path.into(), text: format!("{MARK}\n{}", values.fill(template)) }
    }

    /// Its name, where systemd enables it by itself or by us: timers, and what has an `[Install]` section.
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Whether it is a timer.
    pub fn is_timer(&self) -> bool {
        self.path.extension().is_some_and(|end| end == "timer")
    }
}

/// The unit that puts right at boot what interrupted runs left.
pub const RECOVER: &str = "maint-recover.service";
/// The daemon's unit.
pub const DAEMON: &str = "maint.service";

/// Every file for this configuration.
pub fn render(config: &Config) -> Vec<Unit> {
    let values = Values::of(config);
    let usual = values::usual_limit();
    let mut units = vec![
        Unit::new(
            "maint@.service",
            include_str!("templates/job.service"),
            &values.with("timeout", values::span(usual)),
        ),
        Unit::new(DAEMON, include_str!("templates/daemon.service"), &values),
        teller(
            "maint-notify@.service",
            &values,
            [
                "Tells that a unit of maint failed, where maint itself may not have had the time to.",
                "tell that %i failed",
                "unit-failed %i",
            ],
        ),
        Unit::new(RECOVER, include_str!("templates/recover.service"), &values),
        Unit::new("sysusers.d/maint.conf", include_str!("templates/sysusers.conf"), &values),
        Unit::new("tmpfiles.d/maint.conf", include_str!("templates/tmpfiles.conf"), &values),
    ];
    if !config.stack.notify.channels.is_empty() {
        let why = "Tells what waits, and more people where nobody answered.";
        units.push(teller("maint.tell.service", &values, [why, "tell what waits", "flush"]));
        units.push(Unit::new("maint.tell.timer", include_str!("templates/tell.timer"), &values));
    }
    for job in config.jobs.values() {
        units.extend(timer(job, &values));
        let limit = values::limit(job);
        if limit != usual {
            let text = "[Service]\n# Its own timeout and the locks that it waits for.\nTimeoutStartSec={timeout}\n";
            let path = format!("maint@{}.service.d/maint.conf", job.name);
            units.push(Unit::new(path, text, &values.with("timeout", values::span(limit))));
        }
    }
    units.sort_by(|a, b| a.path.cmp(&b.path));
    units
}

/// A unit that tells people something: why it is there, what it does, and the command of `maint notify`. No job can have a name
/// with a dot.
fn teller(path: &str, values: &Values, [why, doing, command]: [&str; 3]) -> Unit {
    let values = values.with("why", why).with("doing", doing).with("command", command);
    Unit::new(path, include_str!("templates/notify.service"), &values)
}

/// The timer of a job that has a schedule.
fn timer(job: &Job, values: &Values) -> Option<Unit> {
    let schedule = job.schedule.as_ref()?;
    let lines: Vec<_> = on_calendar(schedule).into_iter().map(|line| format!("OnCalendar={line}")).collect();
    let jitter = match job.jitter.as_secs() {
        0 => String::new(),
        seconds => format!("# Every time the same on one host.\nRandomizedDelaySec={seconds}\nFixedRandomDelay=true"),
    };
    let persistent = match job.catch_up {
        CatchUp::None => "# The job catches nothing up.\nPersistent=false",
        CatchUp::Once | CatchUp::Within(_) => {
            "# A slot that passed while the host was down, and a run that went down with it: maint decides what is still due.\nPersistent=true\nOnBootSec=10min"
        }
    };
    let values = values
        .with("schedule", schedule.to_string())
        .with("zone", schedule.zone().name())
        .with("skip", if schedule.dst() == Dst::Skip { ", dst = \"skip\"" } else { "" })
        .with("description", values::one_line(&job.description))
        .with("job", job.name.as_str())
        .with("calendar", lines.join("\n"))
        .with("persistent", persistent)
        .with("jitter", jitter);
    Some(Unit::new(format!("maint-{}.timer", job.name), include_str!("templates/job.timer"), &values))
}
