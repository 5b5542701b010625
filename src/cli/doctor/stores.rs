//! Checks of the places where copies lie.

use tokio_util::sync::CancellationToken;

use super::Check;
use crate::{
    adapters::store::{Store, StoreError},
    model::{
        failure::{Diagnose, chain},
        stack::Stack,
        store::StoreConfig,
    },
};

/// Asks every store.
pub(super) async fn check(stack: &Stack, cancel: &CancellationToken) -> Vec<Check> {
    let mut checks = Vec::new();
    for store in stack.stores.values() {
        checks.push(one(store, stack, cancel).await);
    }
    checks
}

async fn one(config: &StoreConfig, stack: &Stack, cancel: &CancellationToken) -> Check {
    let asked = async { Store::open(config, &stack.state_dir).await?.probe(cancel).await };
    match asked.await {
        Ok(found) => Check::ok(&config.name, "store", found),
        Err(error @ StoreError::Unreachable { .. }) => {
            let check = Check::unknown(&config.name, "store", chain(&error));
            Check { remedy: error.hint(), ..check }
        }
        Err(error) => Check::failed(&config.name, "store", &error),
    }
}
