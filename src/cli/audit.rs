//! `maint audit`: is every backup there, whole, and as it was made?

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure, Global, copy_arg, output};
use crate::{
    adapters::{clock, files, signature::Signer},
    backup::audit::{self, AuditRequest, ExpectedHead, Promise},
    config::{self, Config},
    engine::signal,
    model::{
        audit::{Finding, Mark, Report, SeriesPart, Severity},
        event::StepEvents,
        ids::StepId,
        secret::SecretSource,
        signature::{Namespace, SIGNATURE_SUFFIX},
        units::{ByteSize, age, count},
    },
    page,
};

/// Audits all backups: content, slots without a set, drills, and what nobody backs up
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  maint audit                          read every set, and say what is wrong and what to do
  maint audit --html audit.html        also as one page, to file or to print
  maint audit --sample 3 --seed 7      decode three sets to the end, the same ones again
  maint audit --store offsite --identity key.txt     fetch encrypted copies back, too
  maint audit --expect-head monthly=9f86d0…          what a report of an earlier audit told
  maint audit --json                   for machines

Reads every byte of every set in the backup directory, lists every copy, and fetches the sampled ones back. Changes nothing.

Exit codes, by the worst finding: 0 none, 1 a gap or a rule that is not kept, 3 damaged, tampered with or missing,
4 something could not be checked (and nothing is known to be damaged)")]
pub struct Audit {
    /// How many sets to decode to the end, beyond their digests
    #[arg(long, value_name = "N", default_value_t = 1)]
    sample: u32,
    /// What chooses them; default: a new one, which the report tells
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Ask only these stores; may be given several times. Default: all of the configuration
    #[arg(long = "store", value_name = "STORE")]
    stores: Vec<String>,
    /// A file with an age secret key that opens copies; may be repeated. Without one, encrypted copies are only compared
    /// with what was sent
    #[arg(long, value_name = "FILE")]
    identity: Vec<PathBuf>,
    /// The digest of a manifest that was once the newest of its series, as somebody noted it elsewhere; may be given
    /// several times
    #[arg(long, value_name = "SERIES=SHA256", value_parser = expected_head)]
    expect_head: Vec<ExpectedHead>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Also write the report as one self-contained page; where something signs, with its signature beside it in FILE.sig
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// `--json`.
#[derive(Serialize)]
struct Json<'a> {
    /// The worst finding's severity; absent where there is none.
    worst: Option<Severity>,
    #[serde(flatten)]
    report: &'a Report,
}

impl Audit {
    pub fn run(self, global: &Global) -> Result<Exit, Failure> {
        let config = config::load(global.config.as_deref())?;
        if let Some(unknown) = self.stores.iter().find(|name| !config.stack.stores.contains_key(*name)) {
            let known = config.stack.stores.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            return Err(Failure::usage(
                format!("there is no store `{unknown}`"),
                format!("those of the configuration: {}", if known.is_empty() { "none" } else { &known }),
            ));
        }
        let identities = copy_arg::identities(&self.identity)?;
        let runtime = super::runtime()?;
        let cancel = CancellationToken::new();
        let _signals = signal::cancel_on_signals(&runtime, &cancel)?;
        let progress = output::progress(self.json);
        let step: StepId = "audit".parse().map_err(|e: crate::model::ids::NameError| Failure::other(e.to_string()))?;
        let events = StepEvents::new(progress.sink(), step);
        // The random half of a UUIDv7.
        let seed = self.seed.unwrap_or_else(|| clock::run_id().0.as_u64_pair().1);
        let request = AuditRequest {
            stack: &config.stack,
            promises: promises(&config),
            captures: captures(&config),
            sample: self.sample,
            seed,
            stores: self.stores.clone(),
            identities: identities.as_ref(),
            heads: self.expect_head.clone(),
        };
        let report = runtime.block_on(audit::run(&request, &cancel, &events));
        progress.finish();
        let report = report?;
        if let Some(file) = &self.html {
            write_page(file, &report, config.stack.sign.key.as_ref())?;
        }
        if self.json {
            let json = Json { worst: report.worst(), report: &report };
            println!("{}", serde_json::to_string_pretty(&json).map_err(|e| Failure::other(e.to_string()))?);
        } else {
            print(&report);
            if let Some(file) = &self.html {
                println!("page: {}", file.display());
            }
        }
        Ok(report.worst().and_then(Severity::class).map_or(Exit::Ok, Exit::from))
    }
}

/// Writes the page, and its signature beside it where something signs here: a page that is filed can be believed later.
fn write_page(file: &Path, report: &Report, key: Option<&SecretSource>) -> Result<(), Failure> {
    let path = std::path::absolute(file).map_err(|e| Failure::other(format!("{}: {e}", file.display())))?;
    let page = page::audit::render(report);
    if let Some(key) = key {
        let signature = Signer::load(key)?.sign(page.as_bytes(), Namespace::Audit)?;
        let mut name = path.clone().into_os_string();
        name.push(SIGNATURE_SUFFIX);
        files::write_alone(Path::new(&name), signature.as_bytes())?;
    }
    Ok(files::write_alone(&path, page.as_bytes())?)
}

fn expected_head(text: &str) -> Result<ExpectedHead, String> {
    let (series, sha256) = text.split_once('=').ok_or("expected SERIES=SHA256, e.g. monthly=9f86d0…")?;
    let series = series.parse().map_err(|e: crate::model::ids::NameError| e.to_string())?;
    if sha256.len() != 64 || !sha256.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("a SHA-256 has 64 hexadecimal digits".into());
    }
    Ok(ExpectedHead { series, manifest_sha256: sha256.to_ascii_lowercase() })
}

fn promises(config: &Config) -> Vec<Promise> {
    let promise = |job: &config::Job| {
        let backup = job.backup.as_ref()?;
        Some(Promise {
            series: backup.series.clone(),
            job: job.name.clone(),
            schedule: job.schedule.clone(),
            zone: job.timezone,
            period: backup.period,
            timeout: job.timeout,
            verify: backup.verify,
            keep: backup.keep.clone(),
            stores: backup.stores.clone(),
        })
    };
    config.jobs.values().filter_map(promise).collect()
}

fn captures(config: &Config) -> Vec<(crate::model::ids::JobName, crate::model::coverage::Captures)> {
    let jobs = config.jobs.values().filter(|job| job.backup.is_some());
    jobs.flat_map(|job| {
        let steps = job.steps.iter().flat_map(|step| step.step.captured(&config.stack));
        steps.map(|captures| (job.name.clone(), captures)).collect::<Vec<_>>()
    })
    .collect()
}

fn print(report: &Report) {
    let mut table = output::table(&["SERIES", "SETS", "SIZE", "NEWEST", "LAST DRILL", "SIGNED", "COPIES"]);
    for part in &report.series {
        table.add_row(row(report, part));
    }
    println!("{table}\n");
    for finding in &report.findings {
        one(finding);
    }
    if !report.findings.is_empty() {
        println!();
    }
    let scope = &report.scope;
    println!(
        "{} read and compared; decoded to the end: {}",
        ByteSize(scope.bytes_read),
        if scope.sampled.is_empty() { "none".to_owned() } else { scope.sampled.join(", ") }
    );
    println!("seed {}; the same sample again: maint audit --sample {} --seed {}", scope.seed, scope.sample, scope.seed);
    for left_out in &scope.left_out {
        println!("not looked at: {left_out}");
    }
    println!("{}", verdict(report));
}

fn row(report: &Report, part: &SeriesPart) -> Vec<String> {
    let facts: Vec<_> = part.sets.iter().filter_map(|set| set.facts.as_ref()).collect();
    let ago = |at| format!("{} ago", age(report.finished - at));
    let good = |mark: &Mark| matches!(mark, Mark::Good(_));
    let copies: Vec<_> = part.sets.iter().flat_map(|set| &set.copies).collect();
    vec![
        part.series.to_string(),
        part.sets.len().to_string(),
        ByteSize(facts.iter().map(|f| f.bytes).sum()).to_string(),
        facts.iter().map(|f| f.sealed).max().map_or_else(|| "none".into(), ago),
        facts.iter().filter_map(|f| f.drilled).max().map_or_else(|| "never".into(), ago),
        part.sets.iter().filter(|set| good(&set.signature)).count().to_string(),
        copies.iter().filter(|copy| good(&copy.mark)).count().to_string(),
    ]
}

fn one(finding: &Finding) {
    let word = finding.severity.word();
    let word = match finding.severity {
        Severity::Tampered => output::bad(word),
        Severity::Unchecked | Severity::Policy => output::warn(word),
        Severity::Note => output::faint(word),
    };
    println!("{word}  {}: {}", output::bold(&finding.subject), finding.problem);
    if !finding.remedy.is_empty() {
        println!("    → {}", finding.remedy);
    }
}

fn verdict(report: &Report) -> String {
    let sets = count(report.sets().count() as u64, "set");
    let n = |severity, noun| count(report.number(severity), noun);
    match report.worst() {
        Some(Severity::Tampered) => {
            format!(
                "{}: {} of it; {sets} looked at",
                output::bad("damaged, tampered with or missing"),
                n(Severity::Tampered, "finding")
            )
        }
        Some(Severity::Unchecked) => {
            format!(
                "{}: {}; {sets} looked at",
                output::warn("not everything could be checked"),
                n(Severity::Unchecked, "thing")
            )
        }
        Some(Severity::Policy) => {
            format!(
                "{}, but {} to close; {sets} looked at",
                output::warn("nothing is damaged"),
                n(Severity::Policy, "gap")
            )
        }
        Some(Severity::Note) | None if report.sets().next().is_none() => output::warn("there is no backup"),
        Some(Severity::Note) | None if report.scope.trust.is_none() => {
            format!("{}: {sets} looked at", output::good("all is whole; who made it was not checked"))
        }
        Some(Severity::Note) | None => format!("{}: {sets} looked at", output::good("all is as it should be")),
    }
}
