//! What stores have of each set: is the copy there, is it the same, and who says so.

use std::collections::{BTreeMap, BTreeSet};

use super::{Audit, AuditError, Promise, severity_of};
use crate::{
    adapters::{
        signature::MAX_SIGNATURE_BYTES,
        store::{Store, StoreError},
    },
    backup::{
        copies::{self, CopyState},
        records::{self, MAX_RECORD_BYTES},
        retention::StoredSeries,
        upload::{Destination, UploadError},
    },
    model::{
        audit::{Area, CopyPart, Finding, Mark, SeriesPart, SetPart, Severity},
        failure::{Diagnose, chain},
        ids::SeriesName,
        manifest::MANIFEST_SIGNATURE_FILE,
        sample,
        signature::SIGNATURE_SUFFIX,
        store::StoreConfig,
    },
};

impl Audit<'_> {
    /// Adds what each store has of each set.
    pub(super) async fn copies(&mut self, parts: &mut [SeriesPart]) -> Result<(), AuditError> {
        let wanted = &self.request.stores;
        let (asked, left): (Vec<&StoreConfig>, Vec<&StoreConfig>) =
            self.request.stack.stores.values().partition(|s| wanted.is_empty() || wanted.contains(&s.name));
        for config in asked {
            self.scope.stores.push(config.name.clone());
            self.store(config, parts).await?;
        }
        self.scope.left_out.extend(left.iter().map(|config| format!("the store {}: not asked for", config.name)));
        Ok(())
    }

    async fn store(&mut self, config: &StoreConfig, parts: &mut [SeriesPart]) -> Result<(), AuditError> {
        let to = match Destination::open(self.request.stack, &config.name).await {
            Ok(to) => to,
            Err(error) => {
                self.unreachable(&config.name, &error, parts);
                return Ok(());
            }
        };
        let mut complete = Vec::new();
        for part in parts.iter_mut() {
            match copies::find(to.store(), &self.request.stack.name, part.series.as_str()).await {
                Ok(states) => {
                    complete.extend(self.series_copies(to.store(), part, states).await);
                    self.stored_retention(&to, config, part).await;
                }
                Err(error) => self.unreachable(&config.name, &UploadError::from(error), std::slice::from_mut(part)),
            }
        }
        let names = complete.iter().map(String::as_str);
        let chosen: BTreeSet<String> =
            sample::pick(self.request.seed, names, self.request.sample).into_iter().map(str::to_owned).collect();
        for set in chosen {
            self.bring_back(to.store(), &set, parts).await?;
        }
        Ok(())
    }

    /// Nothing is known of what could not be asked.
    fn unreachable(&mut self, store: &str, error: &UploadError, parts: &mut [SeriesPart]) {
        let finding = Finding::new(Severity::Unchecked, Area::Copies, format!("store {store}"), chain(error));
        self.findings.push(finding.remedy(error.hint().unwrap_or_else(|| "make it reachable, and audit again".into())));
        for set in parts.iter_mut().flat_map(|part| &mut part.sets) {
            set.copies.push(CopyPart { store: store.to_owned(), mark: Mark::Unknown("could not be asked".into()) });
        }
    }

    /// Compares a store's copies of a series with the sets that are here; gives those that came to their end.
    async fn series_copies(&mut self, store: &Store, part: &mut SeriesPart, states: Vec<CopyState>) -> Vec<String> {
        let promise = self.promise(&part.series).cloned();
        for state in &states {
            self.stored_records(store, &part.series, state).await;
        }
        let mut complete = Vec::new();
        let mut states: BTreeMap<String, CopyState> = states.into_iter().map(|s| (s.set.clone(), s)).collect();
        for set in &mut part.sets {
            let mark = match states.remove(set.name()) {
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

    async fn one_copy(&mut self, store: &Store, set: &SetPart, series: &SeriesName, state: &CopyState) -> Mark {
        let (stack, expected) = (&self.request.stack.name, set.manifest_sha256.as_deref());
        let report = match copies::check(store, stack, series.as_str(), state, expected).await {
            Ok(report) => report,
            Err(error) => return self.not_asked(store, &set.set, &error),
        };
        for finding in &report.findings {
            self.odd_copy(severity_of(finding), &set.set, store, format!("{}: {}", finding.file, finding.problem));
        }
        let Some(opened) = report.opened else {
            return if report.findings.iter().all(|f| f.unknown) {
                Mark::Unknown("not checked".into())
            } else {
                Mark::Bad("not equal".into())
            };
        };
        let signature = opened.sealed.signature(opened.signature.as_deref(), self.trust.as_ref());
        if let Some(problem) = signature.problem() {
            let finding = Finding::of_set(
                Severity::Tampered,
                Area::Signature,
                &set.set,
                format!("{MANIFEST_SIGNATURE_FILE}: {problem}"),
            );
            self.findings.push(finding.in_store(store.name()).remedy("find out who wrote there"));
            return Mark::Bad("not believed".into());
        }
        match report.findings.iter().map(|f| f.unknown).min() {
            Some(false) => Mark::Bad("not equal".into()),
            Some(true) => Mark::Unknown("not checked".into()),
            None if opened.list.encrypted_to.is_empty() => Mark::Good("there".into()),
            None => Mark::Good("there, encrypted".into()),
        }
    }

    fn not_asked(&mut self, store: &Store, set: &str, error: &StoreError) -> Mark {
        let finding = Finding::of_set(Severity::Unchecked, Area::Copies, set, chain(error)).in_store(store.name());
        self.findings.push(finding.remedy(error.hint().unwrap_or_else(|| "audit again".into())));
        Mark::Unknown("could not be asked".into())
    }

    pub(super) fn odd_copy(&mut self, severity: Severity, set: &str, store: &Store, problem: String) {
        let verify = format!("maint verify --store {} {set}", store.name());
        let remedy = match severity {
            Severity::Tampered => {
                format!("find out who wrote there; compare it: {verify}; see what the store keeps of older versions")
            }
            _ => format!("make it readable, then: {verify}"),
        };
        self.findings.push(Finding::of_set(severity, Area::Copies, set, problem).in_store(store.name()).remedy(remedy));
    }

    /// A set that a store has not: never sent, let go there, or gone.
    fn no_copy(&mut self, store: &Store, set: &SetPart, state: Option<&CopyState>, promise: Option<&Promise>) -> Mark {
        let name = store.name();
        if state.is_some_and(CopyState::is_buried) {
            return Mark::Open("pruned there".into());
        }
        let remedy = format!("maint upload {} --store {name}", set.set);
        if set.copied_to.iter().any(|s| s == name) {
            let problem = "its copy is missing: a record says that it was there";
            let finding = Finding::of_set(Severity::Tampered, Area::Copies, &set.set, problem).in_store(name);
            self.findings.push(finding.remedy(format!("find out who deleted it; then: {remedy}")));
            return Mark::Bad("missing".into());
        }
        if set.facts.is_none() || promise.is_none_or(|p| !p.stores.iter().any(|s| s == name)) {
            return Mark::Open("not sent".into());
        }
        let problem = match state {
            Some(state) if !state.objects.is_empty() => "its upload was begun and did not end",
            _ => "it has no copy there, though its job asks for one",
        };
        let finding = Finding::of_set(Severity::Policy, Area::Copies, &set.set, problem).in_store(name);
        self.findings.push(finding.remedy(remedy));
        Mark::Bad("not there yet".into())
    }

    /// A copy of a set that is not here: pruned here, or deleted by somebody.
    fn only_there(&mut self, store: &Store, part: &SeriesPart, state: &CopyState) {
        if !state.is_complete() || part.pruned.iter().any(|p| p.set == state.set) {
            return;
        }
        let set = format!("{}/{}", part.series, state.set);
        let problem = format!("{} has a copy of it, but it is not here, and no tombstone says why", store.name());
        let remedy =
            format!("find out who deleted it; what the copy holds: maint verify --store {} {set}", store.name());
        self.findings.push(Finding::of_set(Severity::Tampered, Area::Copies, &set, problem).remedy(remedy));
    }

    /// Records in a store are believed by whoever has nothing else: each must be one, and signed as those here.
    async fn stored_records(&mut self, store: &Store, series: &SeriesName, state: &CopyState) {
        let set = format!("{series}/{}", state.set);
        for file in state.records.iter().filter(|file| !file.ends_with(SIGNATURE_SUFFIX)) {
            let key = copies::record(&self.request.stack.name, series.as_str(), &state.set, file);
            let read = async {
                let json = store.read(&key, MAX_RECORD_BYTES).await?.unwrap_or_default();
                let signature = store.read(&format!("{key}{SIGNATURE_SUFFIX}"), MAX_SIGNATURE_BYTES).await?;
                Ok::<_, StoreError>((json, signature))
            };
            let (json, signature) = match read.await {
                Ok(read) => read,
                Err(error) => {
                    self.not_asked(store, &set, &error);
                    continue;
                }
            };
            let parsed = records::parse(file, &json, signature.as_deref(), self.trust.as_ref());
            let problem = match &parsed {
                Ok(signed) => signed.signature.problem(),
                Err(problem) => Some(problem.clone()),
            };
            if let Some(problem) = problem {
                let finding = Finding::of_set(Severity::Tampered, Area::Records, &set, format!("{file}: {problem}"));
                self.findings.push(finding.in_store(store.name()).remedy(super::ODD_RECORD));
            }
        }
    }

    /// What the store's own policy lets go and is still there.
    async fn stored_retention(&mut self, to: &Destination, config: &StoreConfig, part: &SeriesPart) {
        let promise = self.promise(&part.series).filter(|p| p.stores.contains(&config.name)).cloned();
        let (Some(promise), Some(keep)) = (promise, &config.keep) else { return };
        let local = self.series(&promise);
        let planned = StoredSeries { to, stack: &self.request.stack.name, local }.plan(keep, self.now).await;
        self.overdue(&format!("series {} in {}", part.series, config.name), planned);
    }
}
