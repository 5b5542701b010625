//! A sample of copies, brought back and decoded to the end: a list of names and lengths is no proof.

use super::{Audit, AuditError, severity, severity_of};
use crate::{
    adapters::store::Store,
    backup::{
        fetch::{self, FetchError, FetchRequest},
        verify::{self, Finding},
    },
    model::{
        audit::{Mark, SeriesPart, Severity},
        failure::{Class, Diagnose, chain},
        manifest::Level,
    },
};

impl Audit<'_> {
    /// Fetches a copy and decodes it. One that is encrypted, where no key is at hand, is read whole in the store all the
    /// same: that it is as it was sent needs none.
    pub(super) async fn bring_back(
        &mut self,
        store: &Store,
        set: &str,
        parts: &mut [SeriesPart],
    ) -> Result<(), AuditError> {
        let Some((series, name)) = set.split_once('/') else { return Ok(()) };
        let request = FetchRequest {
            store,
            stack: &self.request.stack.name,
            series,
            set: name,
            backup_dir: &self.request.stack.backup_dir,
            identities: self.request.identities,
        };
        let found = match self.decoded(request).await {
            Err(Trouble { closed: true, .. }) => self.as_sent(request).await.map(|(bytes, f)| (bytes, f, false)),
            other => other.map(|(bytes, findings)| (bytes, findings, true)),
        };
        let mark = match found {
            Ok((bytes, findings, decoded)) => {
                self.scope.bytes_fetched += bytes;
                let how = if decoded { "" } else { ", still encrypted" };
                self.scope.sampled.push(format!("{set} in {}{how}", store.name()));
                self.compared(store, set, &findings, decoded)
            }
            Err(trouble) if trouble.class == Class::Interrupted || self.cancel.is_cancelled() => {
                return Err(AuditError::Cancelled);
            }
            Err(trouble) => {
                let severity = severity(trouble.class);
                self.odd_copy(severity, set, store, format!("it could not be brought back: {}", trouble.problem));
                match severity {
                    Severity::Tampered => Mark::Bad("not equal".into()),
                    _ => Mark::Unknown("not fetched".into()),
                }
            }
        };
        let part = parts.iter_mut().flat_map(|p| &mut p.sets).find(|s| s.set == set);
        let copies = part.into_iter().flat_map(|s| &mut s.copies).filter(|c| c.store == store.name());
        // What is known to be bad stays so.
        copies.filter(|c| matches!(c.mark, Mark::Good(_))).for_each(|copy| copy.mark = mark.clone());
        Ok(())
    }

    async fn decoded(&self, request: FetchRequest<'_>) -> Result<(u64, Vec<Finding>), Trouble> {
        let fetched = fetch::fetch(request, &|_, _| true, self.cancel, self.events).await?;
        let verified = tokio::task::block_in_place(|| {
            verify::set(fetched.dir(), Level::Structure, self.trust.as_ref(), self.cancel, self.events)
        });
        let mut report = verified.map_err(|e| Trouble::of(&e))?;
        fetched.add_findings(&mut report);
        Ok((report.checked.iter().map(|c| c.bytes).sum(), report.findings))
    }

    async fn as_sent(&self, request: FetchRequest<'_>) -> Result<(u64, Vec<Finding>), Trouble> {
        Ok(fetch::compare_closed(request, self.cancel, self.events).await?)
    }

    fn compared(&mut self, store: &Store, set: &str, findings: &[Finding], decoded: bool) -> Mark {
        for finding in findings {
            let problem = format!("fetched back: {}: {}", finding.file, finding.problem);
            self.odd_copy(severity_of(finding), set, store, problem);
        }
        match findings.iter().map(|f| f.unknown).min() {
            Some(false) => Mark::Bad("not equal".into()),
            Some(true) => Mark::Unknown("not checked".into()),
            None if decoded => Mark::Good("fetched back, equal".into()),
            None => Mark::Good("read there, as sent".into()),
        }
    }
}

/// Why a copy did not come back.
struct Trouble {
    class: Class,
    problem: String,
    /// It is encrypted, and no key is at hand.
    closed: bool,
}

impl Trouble {
    fn of(error: &(impl Diagnose + 'static)) -> Self {
        Self { class: error.class(), problem: chain(error), closed: false }
    }
}

impl From<FetchError> for Trouble {
    fn from(error: FetchError) -> Self {
        Self { closed: matches!(error, FetchError::Closed { .. }), ..Self::of(&error) }
    }
}
