//! docker scout's command line and SARIF (<https://docs.docker.com/reference/cli/docker/scout/cves/>).

use std::path::Path;

use serde::Deserialize;

use super::{ScanError, json};
use crate::{
    adapters::process::Invocation,
    model::vulnerability::{Rating, Scan, Vulnerability},
};

const NAME: &str = "docker scout";

#[derive(Deserialize)]
struct Answer {
    runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    tool: Tool,
    #[serde(default)]
    invocations: Vec<Invoked>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Invoked {
    execution_successful: bool,
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
    name: String,
    #[serde(default)]
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    id: String,
    #[serde(default)]
    properties: Properties,
}

#[derive(Deserialize, Default)]
struct Properties {
    #[serde(default)]
    fixed_version: Option<String>,
    #[serde(default)]
    purls: Vec<String>,
    /// Versions before 1.0 name one.
    #[serde(default)]
    purl: Option<String>,
    #[serde(default, rename = "cvssV3_severity")]
    severity: Option<String>,
    #[serde(default, rename = "security-severity")]
    score: Option<String>,
}

/// What is in an image, whatever is known of it (<https://docs.docker.com/reference/cli/docker/scout/sbom/>).
#[derive(Deserialize)]
struct Contents {
    artifacts: Option<Vec<serde_json::Value>>,
}

pub(super) fn scan(docker: Invocation, image: &str, answer: &Path) -> Invocation {
    docker.args(["scout", "cves", "--format", "sarif", "--output"]).arg(answer).arg(format!("local://{image}"))
}

pub(super) fn list(docker: Invocation, image: &str, answer: &Path) -> Invocation {
    docker.args(["scout", "sbom", "--format", "json", "--output"]).arg(answer).arg(format!("local://{image}"))
}

/// Name and version of a package URL: `pkg:deb/debian/glibc@2.36-9?os_name=debian`.
fn package(purl: &str) -> (String, String) {
    let plain = purl.split(['?', '#']).next().unwrap_or(purl);
    let (name, version) = plain.rsplit_once('@').unwrap_or((plain, ""));
    let name = name.rsplit('/').next().unwrap_or(name);
    let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    (decode(name), decode(version))
}

/// One for each package that has it.
fn vulnerabilities(rule: Rule) -> Vec<Vulnerability> {
    let of_word = rule.properties.severity.as_deref().map(Rating::from_word).filter(|r| *r != Rating::Unknown);
    let of_score = || rule.properties.score.as_deref().and_then(|s| s.parse().ok()).map(Rating::from_score);
    let rating = of_word.or_else(of_score).unwrap_or(Rating::Unknown);
    let fixed = rule.properties.fixed_version.filter(|v| !v.is_empty() && v != "not fixed");
    let mut purls = rule.properties.purls;
    purls.extend(rule.properties.purl);
    if purls.is_empty() {
        purls.push(String::new());
    }
    let one = |purl: String| {
        let (package, installed) = package(&purl);
        Vulnerability { id: rule.id.clone(), package, installed, fixed: fixed.clone(), rating }
    };
    purls.into_iter().map(one).collect()
}

pub(super) fn parse(answer: &[u8]) -> Result<Scan, ScanError> {
    let answer: Answer = json(NAME, answer)?;
    let problem = |problem: &str| Err(ScanError::Answer { scanner: NAME, problem: problem.into() });
    if answer.runs.is_empty() {
        return problem("it has no run");
    }
    if let Some(run) = answer.runs.iter().find(|run| !run.tool.driver.name.eq_ignore_ascii_case(NAME)) {
        return problem(&format!("it is of `{}`", run.tool.driver.name));
    }
    if answer.runs.iter().flat_map(|run| &run.invocations).any(|invoked| !invoked.execution_successful) {
        return problem("it says itself that it did not work");
    }
    // Each vulnerability is a rule; the results repeat them.
    let rules = answer.runs.into_iter().flat_map(|run| run.tool.driver.rules);
    let mut found: Vec<_> = rules.flat_map(vulnerabilities).collect();
    found.sort();
    found.dedup();
    // Without a vulnerability nothing in it says that a package was seen: an image that is clean looks as one that could not be
    // read. `list` tells them apart.
    let understood = !found.is_empty();
    Ok(Scan { found, packages: None, understood })
}

/// How many packages it saw in an image, by its answer to `list`.
pub(super) fn packages(answer: &[u8]) -> Result<usize, ScanError> {
    let contents: Contents = json(NAME, answer)?;
    contents
        .artifacts
        .map(|artifacts| artifacts.len())
        .ok_or_else(|| ScanError::Answer { scanner: NAME, problem: "its list of packages has none".into() })
}
