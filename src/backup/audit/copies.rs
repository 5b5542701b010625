//! What stores have of each set: is the copy there, is it the same, and does it come back as it was sent.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, AuditError, Promise};
use crate::{
    adapters::store::{Store, StoreError},
    backup::{
        copies::{self, CopyState},
        fetch::{self, FetchRequest},
        verify,
    },
    model::{
        audit::{Area, CopyPart, Finding, Mark, SeriesPart, SetPart, Severity},
        failure::{Class, Diagnose, chain},
        manifest::Level,
        sample,
        store::StoreConfig,
    },
};

impl Audit<'_> {
    /// Adds what each store has of each set.
    pub(super) async fn copies(&mut self, parts: &mut [SeriesPart]) -> Result<(), AuditError> {
        let stores = &self.request.stack.stores;
        let asked = stores.values().filter(|s| self.request.stores.is_empty() || self.request.stores.contains(&s.name));
        for config in asked {
            self.scope.stores.push(config.name.clone());
            self.store(config, parts).await?;
        }
        let skipped: Vec<&str> =
            stores.keys().map(String::as_str).filter(|name| !self.scope.stores.iter().any(|s| s == name)).collect();
        if !skipped.is_empty() {
            self.scope.left_out.push(format!("the store {}: not asked for", skipped.join(", ")));
        }
        Ok(())
    }

    async fn store(&mut self, config: &StoreConfig, parts: &mut [SeriesPart]) -> Result<(), AuditError> {
        let store = match Store::open(config, &self.request.stack.state_dir).await {
            Ok(store) => store,
            Err(error) => {
                self.unreachable(&config.name, &error, parts);
                return Ok(());
            }
        };
        let mut complete = Vec::new();
        for part in parts.iter_mut() {
            match copies::find(&store, &self.request.stack.name, part.series.as_str()).await {
                Ok(states) => complete.extend(self.series_copies(&store, part, states).await),
                Err(error) => self.unreachable(&config.name, &error, std::slice::from_mut(part)),
            }
        }
        let names = complete.iter().map(String::as_str);
        let chosen: BTreeSet<String> =
            sample::pick(self.request.seed, names, self.request.sample).into_iter().map(str::to_owned).collect();
        for set in chosen {
            self.bring_back(&store, &set, parts).await?;
        }
        Ok(())
    }

    /// Nothing is known of what could not be asked.
    fn unreachable(&mut self, store: &str, error: &StoreError, parts: &mut [SeriesPart]) {
        let subject = format!("store {store}");
        let finding = Finding::new(Severity::Unchecked, Area::Copies, subject, chain(error));
        self.findings.push(finding.remedy(error.hint().unwrap_or_else(|| "make it reachable, and audit again".into())));
        for set in parts.iter_mut().flat_map(|part| &mut part.sets) {
            set.copies.push(CopyPart { store: store.to_owned(), mark: Mark::Unknown("could not be asked".into()) });
        }
    }

    /// Compares a store's copies of a series with the sets that are here; gives those that came to their end.
    async fn series_copies(&mut self, store: &Store, part: &mut SeriesPart, states: Vec<CopyState>) -> Vec<String> {
        let promise = self.promise(&part.series).cloned();
        let mut complete = Vec::new();
        let mut states: BTreeMap<String, CopyState> = states.into_iter().map(|s| (s.set.clone(), s)).collect();
        for set in &mut part.sets {
            let name = set.set.rsplit('/').next().unwrap_or_default();
            let mark = match states.remove(name) {
                Some(state) if state.is_complete() => {
                    complete.push(set.set.clone());
                    self.one_copy(store, set, &part.series, &state).await
                }
                state => self.no_copy(store, set, state.as_ref(), promise.as_ref()),
            };
            set.copies.push(CopyPart { store: store.name().to_owned(), mark });
        }
        for state in states.into_values() {
            self.only_there(store, part, &state);
        }
        complete
    }

    async fn one_copy(
        &mut self,
        store: &Store,
        set: &SetPart,
        series: &crate::model::ids::SeriesName,
        state: &CopyState,
    ) -> Mark {
        let checked =
            copies::check(store, &self.request.stack.name, series.as_str(), state, set.manifest_sha256.as_deref())
                .await;
        let report = match checked {
            Ok(report) => report,
            Err(error) => {
                let finding = Finding::of_set(Severity::Unchecked, Area::Copies, &set.set, chain(&error));
                self.findings.push(finding.in_store(store.name()).remedy(error.hint().unwrap_or_default()));
                return Mark::Unknown("could not be asked".into());
            }
        };
        for finding in &report.findings {
            let severity = if finding.unknown { Severity::Unchecked } else { Severity::Tampered };
            self.odd_copy(severity, &set.set, store, format!("{}: {}", finding.file, finding.problem));
        }
        match report.findings.iter().map(|f| f.unknown).min() {
            Some(false) => Mark::Bad("not equal".into()),
            Some(true) => Mark::Unknown("not checked".into()),
            None if report.opened.is_some_and(|o| !o.list.encrypted_to.is_empty()) => {
                Mark::Good("there, encrypted".into())
            }
            None => Mark::Good("there".into()),
        }
    }

    fn odd_copy(&mut self, severity: Severity, set: &str, store: &Store, problem: String) {
        let remedy = match severity {
            Severity::Tampered => format!(
                "find out who wrote there; compare it: maint verify --store {} {set}, and see what the store keeps of older \
                 versions",
                store.name()
            ),
            _ => format!("make it readable, then: maint verify --store {} {set}", store.name()),
        };
        self.findings.push(Finding::of_set(severity, Area::Copies, set, problem).in_store(store.name()).remedy(remedy));
    }

    /// A set that a store has not: never sent, let go there, or gone.
    fn no_copy(&mut self, store: &Store, set: &SetPart, state: Option<&CopyState>, promise: Option<&Promise>) -> Mark {
        let name = store.name();
        if state.is_some_and(CopyState::is_buried) {
            return Mark::Open("pruned there".into());
        }
        let wanted = promise.is_some_and(|p| p.stores.iter().any(|s| s == name));
        let remedy = format!("maint upload {} --store {name}", set.set);
        if set.copied_to.iter().any(|s| s == name) {
            let problem = "its copy is gone: a record says that it was there";
            let finding = Finding::of_set(Severity::Tampered, Area::Copies, &set.set, problem).in_store(name);
            self.findings.push(finding.remedy(format!("find out who deleted it; then: {remedy}")));
            return Mark::Bad("gone".into());
        }
        if !wanted || set.facts.is_none() {
            return Mark::Open("not sent".into());
        }
        let problem = match state {
            Some(_) => "its upload was begun and did not end",
            None => "it has no copy there, though its job asks for one",
        };
        let finding = Finding::of_set(Severity::Policy, Area::Copies, &set.set, problem).in_store(name);
        self.findings.push(finding.remedy(remedy));
        Mark::Bad("missing".into())
    }

    /// A copy of a set that is not here: pruned here, or deleted by somebody.
    fn only_there(&mut self, store: &Store, part: &SeriesPart, state: &CopyState) {
        let pruned = part.pruned.iter().any(|p| p.set == state.set);
        if !state.is_complete() || pruned {
            return;
        }
        let set = format!("{}/{}", part.series, state.set);
        let problem = format!("{} has a copy of it, but it is not here, and no tombstone says why", store.name());
        let remedy = format!("find out who deleted it; bring it back: maint restore --store {} {set}", store.name());
        self.findings.push(Finding::of_set(Severity::Tampered, Area::Copies, &set, problem).remedy(remedy));
    }

    /// Fetches a copy and decodes it to the end: a list of names and lengths is no proof.
    async fn bring_back(&mut self, store: &Store, set: &str, parts: &mut [SeriesPart]) -> Result<(), AuditError> {
        let Some((series, name)) = set.split_once('/') else { return Ok(()) };
        let request = FetchRequest {
            store,
            stack: &self.request.stack.name,
            series,
            set: name,
            backup_dir: &self.request.stack.backup_dir,
            identities: self.request.identities,
        };
        let mark = match fetch::fetch(request, &|_| true, self.cancel, self.events).await {
            Ok(fetched) => {
                let trust = self.trust.as_ref();
                let verified = tokio::task::block_in_place(|| {
                    verify::set(fetched.dir(), Level::Structure, trust, self.cancel, self.events)
                });
                match verified {
                    Ok(mut report) => {
                        fetched.add_findings(&mut report);
                        self.scope.bytes_fetched += report.checked.iter().map(|c| c.bytes).sum::<u64>();
                        self.scope.sampled.push(format!("{set} in {}", store.name()));
                        self.brought_back(store, set, &report.findings)
                    }
                    Err(error) => self.not_back(store, set, error.class(), &chain(&error))?,
                }
            }
            Err(error) => self.not_back(store, set, error.class(), &chain(&error))?,
        };
        let part = parts.iter_mut().flat_map(|p| &mut p.sets).find(|s| s.set == set);
        for copy in part.into_iter().flat_map(|s| &mut s.copies).filter(|c| c.store == store.name()) {
            copy.mark = mark.clone();
        }
        Ok(())
    }

    fn brought_back(&mut self, store: &Store, set: &str, findings: &[verify::Finding]) -> Mark {
        for finding in findings {
            let severity = if finding.unknown { Severity::Unchecked } else { Severity::Tampered };
            self.odd_copy(severity, set, store, format!("fetched back: {}: {}", finding.file, finding.problem));
        }
        match findings.iter().map(|f| f.unknown).min() {
            Some(false) => Mark::Bad("not equal".into()),
            Some(true) => Mark::Unknown("not checked".into()),
            None => Mark::Good("fetched back, equal".into()),
        }
    }

    fn not_back(&mut self, store: &Store, set: &str, class: Class, problem: &str) -> Result<Mark, AuditError> {
        if class == Class::Interrupted || self.cancel.is_cancelled() {
            return Err(AuditError::Cancelled);
        }
        let severity = super::severity(class);
        self.odd_copy(severity, set, store, format!("it could not be brought back: {problem}"));
        Ok(if severity == Severity::Tampered {
            Mark::Bad("not equal".into())
        } else {
            Mark::Unknown("not fetched".into())
        })
    }
}
