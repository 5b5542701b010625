//! How to check what the report says with standard tools: who believes maint only needs no audit.

use maud::{Markup, html};

use crate::model::audit::Report;

pub(super) fn section(report: &Report) -> Markup {
    let newest = report.sets().filter(|s| s.facts.is_some()).max_by_key(|s| s.facts.as_ref().map(|f| f.sealed));
    let set = newest.map_or("SERIES/PERIOD", |s| s.set.as_str());
    let heads: Vec<_> = report.series.iter().filter_map(|s| Some((&s.series, s.head.as_ref()?))).collect();
    html! {
        section class="whole" {
            h2 { "Check it yourself, without maint" }
            p { "A set is whole when its own list of digests says so:" }
            pre { code { "cd " (report.scope.backup_dir) "/" (set) "\nsha256sum -c SHA256SUMS" } }
            p { "It is what the signer sealed when its manifest, which names every digest, is signed by a key that you trust:" }
            pre { code {
                "ssh-keygen -Y find-principals -f allowed_signers -s manifest.json.sig\n"
                "ssh-keygen -Y verify -f allowed_signers -I PRINCIPAL -n maint-set -s manifest.json.sig < manifest.json"
            } }
            p { "None was taken out or put between when each manifest names the digest of the one before it:" }
            pre { code { "sha256sum manifest.json\njq -r .previous.manifest_sha256 manifest.json    # the sha256sum of the manifest before" } }
            p { "And it restores when somebody restores it: " code { "RESTORE.md" } " in each set has the commands." }
            @if !heads.is_empty() {
                p {
                    "Keep these ends of the chains somewhere that is not on " (report.host.name)
                    ", and give them to the next audit: a key on a host proves nothing against that host."
                }
                pre { code {
                    @for (series, head) in &heads {
                        "maint audit --expect-head " (series) "=" (head.manifest_sha256) "    # " (head.set) "\n"
                    }
                } }
            }
        }
    }
}
