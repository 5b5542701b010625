//! `certificate`: the file, what is served, and whether they are the same.

mod judge;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{chosen, late, summary, unasked, unknown_names};
use crate::{
    adapters::{
        clock,
        roots::{Roots, RootsError},
        tls::{self, Chain},
    },
    model::{finding::Finding, stack::Stack, targets},
    steps::{Problem, StepContext, StepError, StepKind, StepReport},
};

pub use judge::judge;

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
                findings.extend(judge(&subject, config.server_name.as_deref(), chain, &roots, now));
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
    roots: &Result<Roots, RootsError>,
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
                findings.extend(judge(&subject, config.server_name.as_deref(), &chain, roots, now));
                findings.extend(on_disk.and_then(|file| judge::drift(&subject, file, &chain)));
            }
            Ok(Err(error)) => findings.push(unasked(subject, &error)),
            Err(_) => {
                findings.push(late(subject, within).hint("does a firewall keep maint's packets from the server?"))
            }
        }
    }
    findings
}
