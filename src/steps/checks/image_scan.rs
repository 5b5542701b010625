//! `image_scan`: the known vulnerabilities of the images that really run.

use std::time::Duration;

use chrono::{NaiveDate, TimeDelta};
use globset::{Glob, GlobMatcher};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::{
        clock,
        docker::{Docker, RunningImage},
        files,
        ledger::Ledger,
        scanner::{self, Scanner},
    },
    model::{
        failure::{Class, Diagnose, chain},
        finding::Finding,
        stack::Stack,
        units::count,
        vulnerability::{self, Ignored, Rating, Rules},
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Scans the images of running containers, by what really runs and not by what their names mean today. New vulnerabilities that
/// can be fixed come first; what could not be scanned, or only with an old database, is unknown and never clean.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageScan {
    /// `trivy`, `grype` or `scout`. Default: the first of them that is installed.
    scanner: Option<scanner::Kind>,
    /// Only containers with this label, `key` or `key=value`, e.g. `com.docker.compose.project=production`. Default: all that run.
    label: Option<String>,
    /// Images, by their names or glob patterns, that are not scanned.
    #[serde(default)]
    except: Vec<String>,
    /// Less serious ones are counted only; one that nobody has rated counts as serious. Default: `high`.
    #[serde(default)]
    at_least: Rating,
    /// What somebody decided to live with, each until a day.
    #[serde(default)]
    ignore: Vec<Ignore>,
    /// A database older than this says nothing about what is clean. Default: `7d`.
    database_age: Option<String>,
}

/// `{ id = "CVE-…", until = "2026-12-31", reason = "…" }`
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Ignore {
    /// The vulnerability.
    id: String,
    /// The last day on which it is left out, `YYYY-MM-DD`: every decision is looked at again.
    until: String,
    /// Why.
    reason: String,
}

impl ImageScan {
    fn database_age(&self) -> Result<Duration, String> {
        let Some(text) = &self.database_age else { return Ok(Duration::from_secs(7 * 24 * 3600)) };
        humantime::parse_duration(text).map_err(|_| format!("`{text}` is not a duration; expected e.g. \"7d\""))
    }

    fn ignored(&self) -> Result<Vec<Ignored>, String> {
        let ignored = self.ignore.iter().map(|entry| {
            let until: NaiveDate = entry
                .until
                .parse()
                .map_err(|_| format!("`{}` is not a day; expected e.g. \"2026-12-31\"", entry.until))?;
            Ok(Ignored { id: entry.id.clone(), until, reason: entry.reason.clone() })
        });
        ignored.collect()
    }

    fn except(&self) -> Result<Vec<GlobMatcher>, String> {
        let matchers = self.except.iter().map(|text| {
            Glob::new(text).map(|glob| glob.compile_matcher()).map_err(|e| format!("`{text}` is not a pattern: {e}"))
        });
        matchers.collect()
    }

    async fn look(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let stack = &context.stack;
        let docker = Docker::connect(&stack.docker.host).await.map_err(StepError::Unasked)?;
        let running = docker.running_images(self.label.as_deref()).await.map_err(StepError::Unasked)?;
        let except = self.except().unwrap_or_default();
        let (left_out, images): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|image| except.iter().any(|glob| glob.is_match(&image.name)));
        if images.is_empty() {
            let of = self.label.as_deref().map(|label| format!(" with the label {label}")).unwrap_or_default();
            let nothing = Finding::unknown("images", format!("no container{of} runs: nothing was scanned"));
            return Ok(StepReport::found("nothing to scan", vec![nothing]));
        }
        let scanner = Scanner::find(self.scanner, &stack.docker.host, &context.cancel).await?;
        context.events.progress(0, None, format!("fetching the database of {}", scanner.kind().name()));
        let database = scanner.update(&context.cancel).await?;
        let now = clock::now();
        let age = TimeDelta::from_std(self.database_age().unwrap_or_default()).unwrap_or(TimeDelta::MAX);
        let mut of_database = vulnerability::database(database.built, now, age);
        if let Some(why) = database.not_fetched {
            of_database.seen = format!("{}; a newer one could not be fetched: {why}", of_database.seen);
        }
        let ignored = self.ignored().unwrap_or_default();
        let mut findings = vulnerability::decisions(&ignored, now.date_naive());
        for (number, image) in images.iter().enumerate() {
            context.events.progress(number as u64, Some(images.len() as u64), format!("scanning {}", image.name));
            findings.extend(self.one(context, &scanner, image, &ignored).await?);
        }
        // The worst first: a report of a hundred lines is read from the top.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.band));
        findings.push(of_database);
        let mut summary =
            format!("{} by {} {}", count(images.len() as u64, "image"), scanner.kind().name(), scanner.version);
        if !left_out.is_empty() {
            summary += &format!(", {} left out on purpose", left_out.len());
        }
        let tools = [(scanner.kind().name().to_owned(), scanner.version.clone())].into();
        Ok(StepReport { tools, ..StepReport::found(summary, findings) })
    }

    /// One image; that it could not be scanned is a finding, and the others go on.
    async fn one(
        &self,
        context: &StepContext,
        scanner: &Scanner,
        image: &RunningImage,
        ignored: &[Ignored],
    ) -> Result<Vec<Finding>, StepError> {
        let dir = context.stack.state_dir.join("scans");
        files::create_private_dir(&dir)?;
        let answer = dir.join(format!("{}-{}.json", context.run, context.step));
        let runs = format!("{} ({})", image.name, image.containers.join(", "));
        let scan = match scanner.scan(&image.id, &answer, &context.cancel).await {
            Ok(scan) => scan,
            Err(e) if e.class() == Class::Interrupted => return Err(e.into()),
            Err(e) => {
                let unknown = Finding::unknown(runs, format!("could not be scanned: {}", chain(&e)));
                return Ok(vec![match e.hint() {
                    Some(hint) => unknown.hint(hint),
                    None => unknown,
                }]);
            }
        };
        let ledger = Ledger::open(&context.stack.state_dir)?;
        let before = ledger.last_scan(&image.name)?;
        let today = clock::now().date_naive();
        let rules = Rules { at_least: self.at_least, ignored, before: before.as_ref(), today };
        let findings = vulnerability::judge(&runs, &scan, &rules);
        let by = format!("{} {}", scanner.kind().name(), scanner.version);
        ledger.keep_scan(&image.name, &image.id, &by, clock::now(), &scan)?;
        Ok(findings.into_iter().map(|f| f.source(image.id.clone())).collect())
    }
}

impl StepKind for ImageScan {
    const SUMMARY: &'static str = "Scans the images that run for known vulnerabilities";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        let found = [
            self.database_age().err().map(|message| Problem { key: "database_age", message }),
            self.ignored().err().map(|message| Problem { key: "ignore", message }),
            self.except().err().map(|message| Problem { key: "except", message }),
        ];
        found.into_iter().flatten().collect()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let by = self.scanner.map_or("trivy, grype or docker scout", scanner::Kind::name);
        let of = self.label.as_deref().map(|label| format!(" with the label {label}")).unwrap_or_default();
        vec![format!("fetch the database of {by}"), format!("scan the image of every running container{of}")]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        self.look(context).await
    }
}
