//! Everything that was asked for: looked at first, all of it, and then restored item by item.

use super::{
    Failure, Restore, Work, archive,
    database::Job,
    report::{Failed, Item, NotDone, Report},
    rows, space,
    target::{self, Goes, Task},
    volume,
};
use crate::{
    adapters::{clock, files},
    model::{manifest::Source, shell},
};

/// An item that was looked at and can be begun.
struct Ready<'a> {
    task: Task<'a>,
    job: Option<Job<'a>>,
}

/// What was done, or would be; a failure comes with what stands already.
pub(super) struct Ended {
    pub(super) report: Report,
    pub(super) failure: Option<Failure>,
}

/// Restores, or plans.
pub(super) async fn carry_out<'a>(command: &Restore, work: &Work<'a>) -> Result<Ended, Failure> {
    let begun = clock::monotonic();
    let tasks = target::assign(command.wish(), work.manifest)?;
    command.check_replace(&tasks)?;
    let mut report = Report::new(work.shown.clone(), work.manifest, work.only_plan);
    let mut ready = Vec::new();
    let (mut planned, mut needs) = (Vec::new(), Vec::new());
    for task in tasks {
        let job = Job::new(command, &task, work)?;
        let (item, need) = plan(command, &task, job.as_ref(), work).await?;
        planned.push(item);
        needs.extend(need);
        ready.push(Ready { task, job });
    }
    refuse_same_places(&ready)?;
    report.warnings = space::check(&needs)?;
    if command.into.len() > 1 && !command.with_roles {
        report.warnings.extend(roles_left_out(work));
    }
    if work.only_plan {
        report.expected_millis = planned.iter().map(|item| item.expected_millis).sum();
        report.items = planned;
        return Ok(Ended { report, failure: None });
    }
    let failure = restore_all(command, ready, work, &mut report).await;
    report.millis = super::millis(begun);
    Ok(Ended { report, failure })
}

async fn plan<'a>(
    command: &Restore,
    task: &Task<'a>,
    job: Option<&Job<'a>>,
    work: &Work<'a>,
) -> Result<(Item, Vec<space::Need>), Failure> {
    match (&task.goes, job) {
        (_, Some(job)) => job.plan(work).await,
        (Goes::Directory { dir, base }, _) => archive::plan(command, task, (dir, base.as_ref()), work),
        (Goes::Volume { name }, _) => volume::plan(command, task, name, work).await,
        (Goes::Rows { .. } | Goes::Database { .. }, None) => rows::plan(command, task, work),
    }
}

async fn restore<'a>(command: &Restore, ready: &Ready<'a>, work: &Work<'a>) -> Result<Item, Failure> {
    let task = &ready.task;
    match (&task.goes, &ready.job) {
        (_, Some(job)) => job.restore(work).await,
        (Goes::Directory { dir, .. }, _) => archive::restore(command, task, dir, work),
        (Goes::Volume { name }, _) => volume::restore(command, task, name, work).await,
        (Goes::Rows { facts, dir }, None) => rows::restore(command, task, (facts, dir), work),
        (Goes::Database { .. }, None) => Err(Failure::other("a database without a server")),
    }
}

/// Restores one item after the other, until one fails.
async fn restore_all<'a>(
    command: &Restore,
    ready: Vec<Ready<'a>>,
    work: &Work<'a>,
    report: &mut Report,
) -> Option<Failure> {
    for base in ready.iter().filter_map(|ready| ready.task.base()) {
        // Before anything can fail: so the commands that go on find it.
        if let Err(error) = work.absolute(base).and_then(|base| files::create_private_dir(&base)) {
            return Some(error.into());
        }
    }
    let mut ready = ready.into_iter();
    while let Some(next) = ready.next() {
        match restore(command, &next, work).await {
            Ok(item) => report.items.push(item),
            Err(failure) => {
                report.failed = Some(Failed {
                    what: not_done(command, &next.task, work),
                    error: failure.message().to_owned(),
                    hint: failure.hint().map(str::to_owned),
                });
                report.not_begun = ready.map(|rest| not_done(command, &rest.task, work)).collect();
                return Some(failure);
            }
        }
    }
    None
}

/// The command that restores an item alone, as it was to be.
fn not_done(command: &Restore, task: &Task<'_>, work: &Work<'_>) -> NotDone {
    let mut text = format!("maint restore {} {}", work.again, task.alone());
    text.extend(command.table.iter().map(|table| format!(" --table {}", shell::word(table))));
    text.extend(command.path.iter().map(|path| format!(" --path {}", shell::word(&path.display().to_string()))));
    if command.devices && !matches!(task.goes, Goes::Database { .. }) {
        text.push_str(" --devices");
    }
    if matches!(task.goes, Goes::Database { .. }) {
        text.push_str(&command.server.again());
        if command.with_roles {
            text.push_str(" --with-roles");
        }
        if let Some(name) = &command.replace {
            text.push_str(&format!(" --replace {}", shell::word(name)));
            text.push_str(if command.no_dump { " --no-dump" } else { "" });
        }
        if let Some(dir) = &command.dump_to {
            text.push_str(&format!(" --dump-to {}", shell::word(&dir.display().to_string())));
        }
    }
    NotDone { file: task.artifact.packed.file.clone(), into: task.target().to_string(), command: text }
}

/// Two items in one place: the second would meet the first.
fn refuse_same_places(ready: &[Ready<'_>]) -> Result<(), Failure> {
    let place = |ready: &Ready<'_>| {
        ready.job.as_ref().map_or_else(|| ready.task.target().to_string(), super::database::Job::place)
    };
    for (at, one) in ready.iter().enumerate() {
        if ready[..at].iter().any(|other| place(other) == place(one)) {
            return Err(Failure::usage(
                format!("two items of the set would go to {}", one.task.target()),
                "restore one of them alone with --item, under another name",
            ));
        }
    }
    Ok(())
}

/// Roles of the set that nobody asked for.
fn roles_left_out(work: &Work<'_>) -> Option<String> {
    let of_servers = work.manifest.artifacts.iter().filter(|a| matches!(a.source, Source::PostgresServer(_)));
    let files: Vec<_> = of_servers.map(|a| a.packed.file.as_str()).collect();
    let files = files.join(", ");
    (!files.is_empty()).then(|| format!("no roles are restored ({files}); --with-roles makes those that are missing"))
}
