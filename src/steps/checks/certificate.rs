//! `certificate`: the file, what is served, and whether they are the same.

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{chosen, late, summary, unasked, unknown_names};
use crate::{
    adapters::{
        clock,
        tls::{self, Chain, Facts, Roots, TlsError},
    },
    model::{
        detail::Detail,
        finding::{Band, Finding, Unit},
        stack::Stack,
        targets,
    },
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

/// A third of its life before its end a certificate should have been renewed; a sixth before, it must be.
const WARN_BELOW: f64 = 1.0 / 3.0;
const CRITICAL_BELOW: f64 = 1.0 / 6.0;
const SECONDS_A_DAY: f64 = 86_400.0;

/// Certificates, each `[certificate.NAME]`: expiry by the fraction of the lifetime that is left, name, key, chain, and
/// whether the file is what is served.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Which. Default: all.
    #[serde(default)]
    names: Option<Vec<String>>,
}

impl StepKind for Certificate {
    const SUMMARY: &'static str = "Looks at certificates as files and as they are served";
    const CAPTURES: bool = false;

    fn problems(&self, stack: &Stack) -> Vec<Problem> {
        unknown_names("names", "certificate", &self.names, &stack.targets.certificate)
    }

    fn plan(&self, stack: &Stack) -> Vec<String> {
        let chosen = chosen(&self.names, &stack.targets.certificate).into_iter();
        let lines = chosen.flat_map(|(_, certificate)| {
            let file = certificate.file.iter().map(|file| format!("read {}", file.display()));
            let live =
                certificate.live.iter().map(|live| format!("ask {}:{} for its certificate", live.host, live.port));
            file.chain(live).collect::<Vec<_>>()
        });
        lines.collect()
    }

    async fn run(&self, context: &StepContext) -> Result<StepReport, StepError> {
        let chosen = chosen(&self.names, &context.stack.targets.certificate);
        let looked = join_all(chosen.into_iter().map(|(name, certificate)| look(name, certificate))).await;
        let findings: Vec<Finding> = looked.into_iter().flatten().collect();
        Ok(StepReport::found(summary("observation", &findings), findings))
    }
}

async fn look(name: &str, config: &targets::Certificate) -> Vec<Finding> {
    let now = clock::now();
    let roots = Roots::load(config.ca_file.as_deref());
    let mut findings = Vec::new();
    let file = config.file.as_deref().map(Chain::read);
    if let Some(read) = &file {
        let subject = format!("{name}, file");
        match read {
            Ok(chain) => {
                let findings_of_it = judge(&subject, config, chain, &roots, now);
                findings.extend(findings_of_it);
                findings.extend(key(name, config, chain));
            }
            Err(error) => findings.push(unasked(subject, error)),
        }
    }
    if let Some(live) = &config.live {
        let on_disk = file.as_ref().and_then(|read| read.as_ref().ok());
        findings.extend(served(name, config, live, on_disk, &roots, now).await);
    }
    findings
}

/// Whether the key file is the certificate's.
fn key(name: &str, config: &targets::Certificate, chain: &Chain) -> Option<Finding> {
    let path = config.key.as_deref()?;
    let subject = format!("{name}, key");
    Some(match chain.has_key(path) {
        Ok(true) => Finding::good(subject, "belongs to the certificate"),
        Ok(false) => Finding::critical(subject, format!("{} is the key of another certificate", path.display()))
            .hint("put the key beside it that it was requested with, before the server is reloaded"),
        Err(error) => unasked(subject, &error),
    })
}

async fn served(
    name: &str,
    config: &targets::Certificate,
    live: &targets::Live,
    on_disk: Option<&Chain>,
    roots: &Result<Roots, TlsError>,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let server_name = config.server_name.as_deref().unwrap_or(&live.host);
    let within = config.timeout;
    let addresses = match tokio::time::timeout(within, tls::addresses(live)).await {
        Ok(Ok(addresses)) => addresses,
        Ok(Err(error)) => return vec![unasked(format!("{name}, served"), &error)],
        Err(_) => return vec![late(format!("{name}, served"), within)],
    };
    let many = addresses.len() > 1;
    let asked = join_all(addresses.into_iter().map(|address| async move {
        let subject = if many { format!("{name}, served at {}", address.ip()) } else { format!("{name}, served") };
        (subject, tokio::time::timeout(within, tls::served(address, live, server_name)).await)
    }));
    let mut findings = Vec::new();
    for (subject, chain) in asked.await {
        match chain {
            Ok(Ok(chain)) => {
                findings.extend(judge(&subject, config, &chain, roots, now));
                findings.extend(on_disk.and_then(|file| drift(&subject, file, &chain)));
            }
            Ok(Err(error)) => {
                findings.push(unasked(subject, &error).hint("does the server run? See: maint run readiness"))
            }
            Err(_) => findings.push(late(subject, within)),
        }
    }
    findings
}

/// Renewed, and not reloaded.
fn drift(subject: &str, file: &Chain, served: &Chain) -> Option<Finding> {
    let leaf = |chain: &Chain| chain.facts().ok().and_then(|facts| facts.into_iter().next());
    let (file, served) = (leaf(file)?, leaf(served)?);
    (file.sha256 != served.sha256).then(|| {
        let seen = format!("is not the file's: served until {}, the file until {}", day(&served), day(&file));
        Finding::critical(subject, seen).hint("check and reload the server: nginx -t && nginx -s reload")
    })
}

fn day(facts: &Facts) -> String {
    facts.not_after.format("%Y-%m-%d").to_string()
}

/// One chain: until when, for whom, and whether a client believes it. The worst is told first.
fn judge(
    subject: &str,
    config: &targets::Certificate,
    chain: &Chain,
    roots: &Result<Roots, TlsError>,
    now: DateTime<Utc>,
) -> Vec<Finding> {
    let facts = match chain.facts() {
        Ok(facts) => facts,
        Err(error) => return vec![unasked(subject, &error)],
    };
    // The last of equals is taken: the leaf speaks, unless one above it is worse.
    let Some(expiry) =
        facts.iter().enumerate().rev().map(|(i, facts)| expiry(subject, i, facts, now)).max_by_key(|f| f.band)
    else {
        return Vec::new();
    };
    let expired = expiry.band == Band::Critical;
    let mut findings = vec![expiry];
    if let Some(name) = &config.server_name
        && let Err(why) = chain.is_for(name)
    {
        let seen = format!("is not for {name}: {why}");
        findings.push(Finding::critical(subject, seen).hint("request one with this name among its subjectAltNames"));
    }
    match roots {
        Err(error) => findings.push(unasked(format!("{subject}, chain"), error)),
        // Of one that is over this was said already.
        Ok(roots) => match chain.leads_to(roots, now) {
            Err(why) if !expired || !why.contains("expired") => {
                let issuer = facts.last().map(|last| last.issuer.as_str()).unwrap_or_default();
                let seen = format!(
                    "clients do not come from it to an authority that they believe: {why}; {issuer} is not sent"
                );
                findings
                    .push(Finding::critical(subject, seen).hint("serve the whole chain: fullchain.pem, not cert.pem"));
            }
            _ => {}
        },
    }
    findings
}

fn expiry(subject: &str, place: usize, facts: &Facts, now: DateTime<Utc>) -> Finding {
    let life = (facts.not_after - facts.not_before).num_seconds() as f64;
    let left = (facts.not_after - now).num_seconds() as f64;
    let fraction = left / life;
    let days = left / SECONDS_A_DAY;
    let whose = if place == 0 { String::new() } else { format!("{} in its chain: ", facts.subject) };
    let of_life = format!("{:.0} % of its life", fraction * 100.0);
    let finding = match () {
        () if left < 0.0 => Finding::critical(subject, format!("{whose}expired {}", day(facts))),
        () if facts.not_before > now => {
            Finding::critical(subject, format!("{whose}is not valid before {}", facts.not_before.format("%Y-%m-%d")))
        }
        () if fraction < CRITICAL_BELOW => {
            Finding::critical(subject, format!("{whose}ends {}, {of_life} left", day(facts)))
        }
        () if fraction < WARN_BELOW => Finding::warning(subject, format!("{whose}ends {}, {of_life} left", day(facts))),
        () => Finding::good(subject, format!("{whose}until {}, {of_life} left", day(facts))),
    };
    let life = Detail::Certificate { from: facts.not_before, until: facts.not_after, left: fraction };
    let finding = finding.value(days, Unit::Days).detail(life);
    if finding.band.is_fine() { finding } else { finding.hint("renew it: certbot renew; then reload the server") }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn expiry_is_judged_by_the_fraction_of_the_life_that_is_left() {
        let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        for (life, left, band) in [
            (90, 31, Band::Good),
            (90, 29, Band::Warning),
            (90, 14, Band::Critical),
            (45, 16, Band::Good),
            (45, 14, Band::Warning),
            (6, 3, Band::Good),
            (6, 1, Band::Warning),
            (6, -1, Band::Critical),
            (6, 7, Band::Critical),
        ] {
            let facts = Facts {
                subject: "CN=a".into(),
                issuer: "CN=ca".into(),
                not_before: begin,
                not_after: begin + TimeDelta::days(life),
                sha256: String::new(),
            };
            // An hour more: whole days of a six-day certificate are its edges.
            let now = begin + TimeDelta::days(life - left) - TimeDelta::hours(1);
            assert_eq!(expiry("a", 0, &facts, now).band, band, "{life} days, {left} left");
        }
    }
}
