//! docker scout's command line and SARIF (<https://docs.docker.com/reference/cli/docker/scout/cves/>).

use std::{collections::BTreeMap, path::Path};

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
    results: Option<Vec<Found>>,
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
    #[serde(default, rename = "security-severity")]
    score: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found {
    rule_id: String,
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

pub(super) fn parse(answer: &[u8]) -> Result<Scan, ScanError> {
    let answer: Answer = json(NAME, answer)?;
    if answer.runs.is_empty() {
        return Err(ScanError::Answer { scanner: NAME, problem: "it has no run".into() });
    }
    let mut found = Vec::new();
    for run in answer.runs {
        let rules: BTreeMap<_, _> = run.tool.driver.rules.into_iter().map(|rule| (rule.id, rule.properties)).collect();
        for result in run.results.unwrap_or_default() {
            let Some(rule) = rules.get(&result.rule_id) else {
                let problem = format!("it has no rule {}", result.rule_id);
                return Err(ScanError::Answer { scanner: NAME, problem });
            };
            let (package, installed) = rule.purls.first().map(|p| package(p)).unwrap_or_default();
            let fixed = rule.fixed_version.clone().filter(|v| !v.is_empty() && v != "not fixed");
            let score = rule.score.as_deref().and_then(|s| s.parse().ok());
            let rating = score.map_or(Rating::Unknown, Rating::from_score);
            found.push(Vulnerability { id: result.rule_id, package, installed, fixed, rating });
        }
    }
    found.sort();
    found.dedup();
    // A login that is missing or an image that it cannot read end with an error; SARIF says no more.
    Ok(Scan { found, packages: None, understood: true })
}
