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
}

#[derive(Deserialize)]
struct Tool {
    driver: Driver,
}

#[derive(Deserialize)]
struct Driver {
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
    #[serde(default, rename = "cvssV3_severity")]
    severity: Option<String>,
    #[serde(default, rename = "security-severity")]
    score: Option<String>,
}

pub(super) fn scan(docker: Invocation, image: &str, answer: &Path) -> Invocation {
    docker.args(["scout", "cves", "--format", "sarif", "--output"]).arg(answer).arg(format!("local://{image}"))
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
    let purls = if rule.properties.purls.is_empty() { vec![String::new()] } else { rule.properties.purls };
    let one = |purl: String| {
        let (package, installed) = package(&purl);
        Vulnerability { id: rule.id.clone(), package, installed, fixed: fixed.clone(), rating }
    };
    purls.into_iter().map(one).collect()
}

pub(super) fn parse(answer: &[u8]) -> Result<Scan, ScanError> {
    let answer: Answer = json(NAME, answer)?;
    if answer.runs.is_empty() {
        return Err(ScanError::Answer { scanner: NAME, problem: "it has no run".into() });
    }
    // Each vulnerability is a rule; the results repeat them.
    let rules = answer.runs.into_iter().flat_map(|run| run.tool.driver.rules);
    let mut found: Vec<_> = rules.flat_map(vulnerabilities).collect();
    found.sort();
    found.dedup();
    // A login that is missing or an image that it cannot read end with an error; SARIF says no more.
    Ok(Scan { found, packages: None, understood: true })
}
