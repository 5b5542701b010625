//! In which order containers are stopped: who depends on others first. They come back in the reverse order.

use std::collections::{BTreeMap, BTreeSet};

use crate::adapters::docker::Container;

/// Compose's label with the services that a container's service needs: `db:service_healthy:true,cache:…`.
const DEPENDS_ON: &str = "com.docker.compose.depends_on";
/// Compose's label with a container's service.
const SERVICE: &str = "com.docker.compose.service";
/// Compose's label with a container's project.
const PROJECT: &str = "com.docker.compose.project";

fn needs(container: &Container) -> impl Iterator<Item = &str> {
    let list = container.labels.get(DEPENDS_ON).map_or("", String::as_str);
    list.split(',').filter_map(|item| item.split(':').next()).filter(|service| !service.is_empty())
}

/// Dependents before what they need; otherwise by name. A circle is broken at its first name.
pub(super) fn dependents_first(containers: Vec<Container>) -> Vec<Container> {
    let mut left: BTreeMap<String, Container> = containers.into_iter().map(|c| (c.name.clone(), c)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let needed: BTreeSet<(Option<&String>, &str)> =
            left.values().flat_map(|c| needs(c).map(move |service| (c.labels.get(PROJECT), service))).collect();
        let free = left.values().find(|c| {
            let service = c.labels.get(SERVICE).map_or("", String::as_str);
            !needed.contains(&(c.labels.get(PROJECT), service))
        });
        let name = free.or_else(|| left.values().next()).map(|c| c.name.clone()).unwrap_or_default();
        ordered.extend(left.remove(&name));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::docker::State;

    fn container(name: &str, needs: &str) -> Container {
        let labels = [(SERVICE, name), (PROJECT, "p"), (DEPENDS_ON, needs)];
        let labels = labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        Container { id: name.into(), name: name.into(), state: State::Running, labels }
    }

    fn names(containers: Vec<Container>) -> Vec<String> {
        dependents_first(containers).into_iter().map(|c| c.name).collect()
    }

    #[test]
    fn what_others_need_stops_last() {
        let stack = vec![
            container("db", ""),
            container("app", "db:service_healthy:true,cache:service_started:false"),
            container("cache", "db:service_started:true"),
            container("web", "app:service_started:true"),
        ];
        assert_eq!(names(stack), ["web", "app", "cache", "db"]);
    }

    #[test]
    fn other_projects_and_circles_do_not_matter() {
        let mut other = container("b", "a:service_started:true");
        other.labels.insert(PROJECT.into(), "q".into());
        assert_eq!(names(vec![container("a", ""), other]), ["a", "b"]);
        assert_eq!(names(vec![container("x", "y:s:true"), container("y", "x:s:true")]).len(), 2);
    }
}
