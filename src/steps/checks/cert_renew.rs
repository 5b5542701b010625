//! `cert_renew`: whether the next renewal of the host's certificates would work.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    adapters::certbot::{Certbot, Trial},
    model::{finding::Finding, stack::Stack, units::count},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// Tries every renewal of certbot against the authority's test server (`certbot renew --dry-run`) and throws the result away.
/// It proves that a certificate would be issued, not that a server would serve it: the step `certificate` looks at that.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertRenew {
    /// The program. Default: `certbot` on PATH.
    certbot: Option<PathBuf>,
    /// certbot's own directories, where they are not its defaults.
    config_dir: Option<PathBuf>,
    /// See `config_dir`.
    work_dir: Option<PathBuf>,
    /// See `config_dir`.
    logs_dir: Option<PathBuf>,
    /// Arguments beyond `renew --dry-run --non-interactive --no-random-sleep-on-renew`, e.g. `["--nginx"]`.
    #[serde(default)]
    args: Vec<String>,
}

impl CertRenew {
    fn certbot(&self, stack: &Stack) -> Certbot {
        let under = |dir: &Option<PathBuf>| dir.as_ref().map(|dir| stack.root.join(dir));
        Certbot {
            program: self.certbot.clone(),
            config_dir: under(&self.config_dir),
            work_dir: under(&self.work_dir),
            logs_dir: under(&self.logs_dir),
            more: self.args.clone(),
        }
    }
}

/// What a trial's answer comes to.
pub fn findings(trial: &Trial) -> Vec<Finding> {
    const SOURCE: &str = "certbot renew --dry-run";
    let mut findings: Vec<_> = trial
        .renewals
        .iter()
        .map(|renewal| match renewal.ok {
            true => Finding::good(&renewal.certificate, "its renewal would work").source(SOURCE),
            false => Finding::critical(&renewal.certificate, "its renewal would fail").source(SOURCE),
        })
        .collect();
    if let Some(problem) = &trial.problem {
        // A failure without a certificate's name is one all the same; that nothing was tried proves nothing.
        let finding = match trial.renewals.iter().any(|r| !r.ok) {
            true => Finding::critical("certbot", why(problem)),
            false if problem.contains("tried no renewal") => {
                Finding::unknown("certbot", "it tried no renewal: it manages no certificate here")
                    .hint("see: certbot certificates; or leave this step out")
            }
            false => Finding::critical("certbot", why(problem)),
        };
        findings.push(finding.source(SOURCE));
    }
    findings
}

/// The line of certbot's words that says why.
fn why(problem: &str) -> String {
    let told = problem.lines().map(str::trim).find(|line| line.starts_with("Failed to renew"));
    told.or(problem.lines().map(str::trim).rfind(|line| !line.is_empty())).unwrap_or("it failed").to_owned()
}

impl StepKind for CertRenew {
    const SUMMARY: &'static str = "Tries whether certificates could be renewed";
    const CAPTURES: bool = false;

    fn problems(&self, _stack: &Stack) -> Vec<Problem> {
        Vec::new()
    }

    fn plan(&self, _stack: &Stack) -> Vec<String> {
        let args: String = self.args.iter().map(|arg| format!(" {arg}")).collect();
        vec![format!("certbot renew --dry-run --non-interactive{args}, and judge its answer")]
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let trial = self.certbot(&context.stack).dry_run(&context.cancel).await?;
        let summary = format!("{} tried", count(trial.renewals.len() as u64, "renewal"));
        Ok(StepReport::found(summary, findings(&trial)))
    }
}
