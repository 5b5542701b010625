//! What went wrong in a run.

use crate::model::{
    failure::{Class, Diagnose, chain},
    outcome::Outcome,
    units::Elapsed,
};

/// What went wrong in a step or stage.
#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) outcome: Outcome,
    pub(super) class: Class,
    pub(super) hint: Option<String>,
}

impl Trouble {
    pub(super) fn of(error: &(impl Diagnose + 'static)) -> Self {
        let class = error.class();
        let message = chain(error);
        let outcome = match class {
            Class::Interrupted => Outcome::Interrupted,
            Class::Unverifiable => Outcome::Unknown(message),
            _ => Outcome::Failed(message),
        };
        Self { outcome, class, hint: error.hint() }
    }

    /// The worse of two; the first of equals.
    pub(super) fn worst(first: Option<Self>, second: Option<Self>) -> Option<Self> {
        match (first, second) {
            (Some(a), Some(b)) => {
                let of_second = a.outcome != b.outcome && a.outcome.clone().worst(b.outcome.clone()) == b.outcome;
                Some(if of_second { b } else { a })
            }
            (a, b) => a.or(b),
        }
    }

    pub(super) fn failed(message: String) -> Self {
        Self { outcome: Outcome::Failed(message), class: Class::Failed, hint: None }
    }
}

/// What is said of a step or stage that took too long.
pub(super) fn too_long(limit: std::time::Duration, whose: &str) -> Trouble {
    Trouble {
        hint: Some(format!("raise the {whose}'s `timeout` if this is how long it takes")),
        ..Trouble::failed(format!("took longer than the {whose}'s timeout of {}", Elapsed(limit)))
    }
}
