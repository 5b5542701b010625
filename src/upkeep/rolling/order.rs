//! In which order services are updated: what others need comes first.

use crate::adapters::compose::File;

/// The services in an order in which each comes after those that it needs, also by way of services that are not among them;
/// otherwise as they were named.
pub fn dependencies_first(services: &[String], file: &File) -> Vec<String> {
    let mut order = Vec::new();
    let mut seen = Vec::new();
    for service in services {
        visit(service, file, &mut seen, &mut order);
    }
    order.retain(|service| services.contains(service));
    order
}

fn visit(service: &str, file: &File, seen: &mut Vec<String>, order: &mut Vec<String>) {
    // Compose refuses circles; whoever is seen already has its place or is on the way to it.
    if seen.iter().any(|other| other == service) {
        return;
    }
    seen.push(service.to_owned());
    for needed in file.services.get(service).into_iter().flat_map(|service| &service.depends_on) {
        visit(needed, file, seen, order);
    }
    order.push(service.to_owned());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::compose::Service;

    #[test]
    fn what_others_need_comes_first() {
        let service = |needs: &[&str]| Service {
            depends_on: needs.iter().map(|name| (*name).to_owned()).collect(),
            ..Service::default()
        };
        let services = [("web", &["middle"] as &[&str]), ("middle", &["db", "api"]), ("api", &["db"]), ("db", &[])];
        let services = services.into_iter().map(|(name, needs)| (name.to_owned(), service(needs))).collect();
        let file = File { services };
        let order = |names: &[&str]| {
            dependencies_first(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), &file).join(" ")
        };
        assert_eq!(order(&["web", "other", "api"]), "api web other");
        assert_eq!(order(&["other", "api"]), "other api");
    }
}
