//! The last stage of a backup job: older sets go by the policy, after a run that went well.

use super::{Run, Trouble, upload::FIRST_STAGE};
use crate::{
    adapters::clock,
    backup::publish::{Completeness, Published},
    engine::prune::{self, Place, Report},
    model::{
        outcome::Outcome,
        units::{ByteSize, count},
    },
};

impl Run<'_> {
    /// What is to be said of a set with something unusual in it.
    pub(super) fn unusual(&self, set: &Published) -> Outcome {
        let anomalies = &set.manifest.anomalies;
        if anomalies.is_empty() {
            return Outcome::Ok;
        }
        let what = anomalies.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let name = set.path.file_name().unwrap_or_default().to_string_lossy();
        let set = format!("{}/{name}", set.manifest.series);
        Outcome::Warning(format!(
            "unusual beside the last sets: {what}; look at it, then: maint backups ack {set} --reason '…'"
        ))
    }

    /// Prunes, where the job has a policy and its set is a whole one. A run that went badly prunes nothing.
    pub(super) async fn prune(&self, outcome: &Outcome) -> Result<Outcome, Trouble> {
        if !prune::has_policy(&self.plan.job, &self.stack) || self.plan.completeness == Completeness::Partial {
            return Ok(Outcome::Ok);
        }
        let stores = self.plan.job.backup.as_ref().map_or(0, |backup| backup.stores.len());
        let (number, id) = self.stage("prune", FIRST_STAGE + stores, "removes the sets that the policy lets go")?;
        let begun = clock::monotonic();
        if !outcome.is_success() {
            let skipped = Outcome::Skipped("nothing is pruned by a run that did not go well".into());
            self.ended(number, &id, &skipped, begun, String::new());
            return Ok(Outcome::Ok);
        }
        let pruned = prune::prune(&self.stack, &self.plan.job, self.signer.clone(), true, &self.cancel).await;
        let (result, summary) = match &pruned {
            Ok(report) => (worst(report), summary(&report.places)),
            Err(error) => (Err(Trouble::of(error)), String::new()),
        };
        let outcome = result.as_ref().map_or_else(|trouble| trouble.outcome.clone(), Outcome::clone);
        self.ended(number, &id, &outcome, begun, summary);
        result
    }
}

/// A place that could not be pruned is a trouble; a freeze, and sets that cannot be relied on, are worth a look.
fn worst(report: &Report) -> Result<Outcome, Trouble> {
    if let Some((name, error)) = report.failed.first() {
        let mut trouble = Trouble::of(error);
        if let Outcome::Failed(reason) | Outcome::Unknown(reason) = &mut trouble.outcome {
            *reason = format!("pruning {name}: {reason}");
        }
        return Err(trouble);
    }
    let mut outcome = Outcome::Ok;
    for place in &report.places {
        let freeze = place.pruning.freeze().map(Outcome::Warning);
        let damaged = place.pruning.damaged.last().map(|(set, problem)| {
            let set = format!("{}/{set}", place.pruning.series);
            let more = match place.pruning.damaged.len() {
                1 => String::new(),
                n => format!(" (nor do {} more)", n - 1),
            };
            Outcome::Warning(format!("{set} does not count: {problem}{more}; see: maint verify {set}"))
        });
        outcome = [freeze, damaged].into_iter().flatten().fold(outcome, Outcome::worst);
    }
    Ok(outcome)
}

fn summary(places: &[Place]) -> String {
    let of = |place: &Place| {
        let removed = &place.pruned.removed;
        let bytes = ByteSize(removed.iter().map(|(_, bytes)| bytes).sum());
        let mut text = match removed.len() {
            0 => "nothing to prune".to_owned(),
            n => format!("{} pruned ({bytes})", count(n as u64, "set")),
        };
        if !place.pruned.in_use.is_empty() {
            text += &format!(", {} left, for they are in use", count(place.pruned.in_use.len() as u64, "set"));
        }
        if let Some(until) = place.pruned.kept_until.iter().map(|(_, until)| until).max() {
            let n = count(place.pruned.kept_until.len() as u64, "set");
            text += &format!(", {n} kept by the store until {}", until.format("%Y-%m-%d"));
        }
        format!("{}: {text}", place.pruning.place)
    };
    places.iter().map(of).collect::<Vec<_>>().join("; ")
}
