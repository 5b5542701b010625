//! `security_report`: what the steps before it found, as one page.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Series;
use crate::{
    adapters::clock,
    model::{
        finding::{Band, Finding},
        outcome::Outcome,
        reports::{
            Report,
            security::{Part, Security, Subject},
        },
        stack::Stack,
        units::count,
    },
    reports::{publish, window::Window},
    steps::{Problem, StepContext, StepError, StepKind, StepReport, context::Earlier},
};

/// Reports what the steps before it found: images and who still runs old ones (`image_pull`), vulnerabilities (`image_scan`),
/// certificates (`certificate`) and whether they could be renewed (`cert_renew`). A step that failed, or was left out, is told
/// as not known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecurityReport {
    /// Where the report lies: `<reports_dir>/<series>/<period>.html` and `.json`. Default: `security`.
    #[serde(default)]
    series: Option<Series>,
}

impl StepKind for SecurityReport {
    const SUMMARY: &'static str = "Reports what the steps before it found, as one page";
    const CAPTURES: bool = false;
    const LOOKS_BACK: bool = true;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        vec!["report what the steps before it found".to_owned()]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let period = super::made_in(context.started, super::zone(context));
        let window = Window { period, from: context.started, to: clock::now() };
        let parts: Vec<_> = context.earlier.iter().map(part).collect();
        let report = Report::Security(Security { head: super::head(context, "Security", &window), parts });
        let series = Series::named(self.series.as_ref(), "security")?;
        let place = publish::publish(&context.stack.reports.dir, &series, &report)?;
        // What the other steps found is theirs; only what nobody else says is told here.
        let left_out = context.earlier.iter().filter(|earlier| earlier.ended.is_none());
        let own = left_out.map(unseen).collect();
        Ok(StepReport::found(format!("{}: {}", summary(&report), place.html.display()), own))
    }
}

/// `1 critical, 2 unknown, 5 good`.
fn summary(report: &Report) -> String {
    let findings = report.findings();
    let bands = [Band::Critical, Band::Unknown, Band::Warning, Band::Good, Band::Excellent].into_iter();
    let counted = bands.map(|band| (findings.iter().filter(|finding| finding.band == band).count(), band.word()));
    let told: Vec<_> = counted.filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    if told.is_empty() { count(0, "finding") } else { told.join(", ") }
}

fn part(earlier: &Earlier) -> Part {
    let ended = earlier.ended.as_ref();
    let mut findings = ended.map(|ended| ended.findings.clone()).unwrap_or_default();
    if findings.is_empty() {
        findings.push(unseen(earlier));
    }
    let summary = ended.map(|ended| ended.summary.clone()).unwrap_or_default();
    Part { step: earlier.step.to_string(), subject: Subject::of(earlier.kind), summary, findings }
}

/// What is told of a step that observed nothing: whatever the reason is, nobody knows.
fn unseen(earlier: &Earlier) -> Finding {
    let why = match earlier.ended.as_ref().map(|ended| &ended.outcome) {
        None => "left out of this run: nobody looked".to_owned(),
        Some(Outcome::Failed(why) | Outcome::Unknown(why)) => why.clone(),
        Some(Outcome::Interrupted) => "was interrupted".to_owned(),
        Some(_) => "found nothing to look at".to_owned(),
    };
    let finding = Finding::unknown(earlier.step.to_string(), why);
    match earlier.ended.as_ref().and_then(|ended| ended.hint.clone()) {
        Some(hint) => finding.hint(hint),
        None => finding,
    }
}
