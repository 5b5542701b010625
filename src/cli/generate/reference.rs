//! docs/reference.md: every key, made from the types that read it.

use std::fmt::Write as _;

use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::{
    config::compose::ComposeSection,
    config::coverage::{AuditSection, CoverageSection, ExclusionSection},
    config::daemon::DaemonSection,
    config::monitoring::{MetricsSection, WebSection},
    config::notify::{EscalationSection, NotifySection},
    config::reports::{CapacitySection, ResourceSection, SeasonsSection},
    config::shape::{
        BackupSection, DockerSection, DrillSection, HostFile, JobFile, KeepSection, PostgresSection, SignSection,
        StepSection, StoreSection, SystemdSection,
    },
    config::targets::{
        AlertmanagerSection, CertificateSection, EndpointSection, MetricSection, PrometheusSection, RedisSection,
    },
    steps::Step,
};

const INTRODUCTION: &str = "\
# Reference

Made by `maint generate reference`; a test keeps it current. `maint check` shows every mistake in these files at its
line and column.

";

/// The page. Writing to a String cannot fail.
pub(super) fn render() -> String {
    let mut text = INTRODUCTION.to_owned();
    let sections = sections();
    let names: Vec<&str> = sections.iter().map(|(name, ..)| *name).collect();
    section(&mut text, "## maint.toml", &schema_for!(HostFile), &names);
    for (_, heading, schema) in &sections {
        section(&mut text, heading, schema, &["exclude", "resource", "seasons"]);
    }
    section(&mut text, "## jobs/NAME.toml", &schema_for!(JobFile), &["backup", "step"]);
    section(&mut text, "### [backup]", &schema_for!(BackupSection), &[]);
    section(&mut text, "### keep", &schema_for!(KeepSection), &[]);
    section(&mut text, "### [[step]]", &schema_for!(StepSection), &[]);
    text.push_str("## Step kinds\n\n");
    for kind in Step::descriptions() {
        let _ = writeln!(text, "### do.{}\n\n{}.\n", kind.name, kind.summary.trim_end_matches('.'));
        keys(&mut text, &kind.schema, &[]);
    }
    text.trim_end().to_owned() + "\n"
}

/// Every section of `maint.toml`: its key, its heading, its keys.
fn sections() -> Vec<(&'static str, &'static str, Schema)> {
    vec![
        ("postgres", "### [postgres.NAME]", schema_for!(PostgresSection)),
        ("docker", "### [docker]", schema_for!(DockerSection)),
        ("compose", "### [compose]", schema_for!(ComposeSection)),
        ("drill", "### [drill]", schema_for!(DrillSection)),
        ("store", "### [store.NAME]", schema_for!(StoreSection)),
        ("sign", "### [sign]", schema_for!(SignSection)),
        ("audit", "### [audit]", schema_for!(AuditSection)),
        ("coverage", "### [coverage]", schema_for!(CoverageSection)),
        ("exclude", "### [[coverage.exclude]]", schema_for!(ExclusionSection)),
        ("systemd", "### [systemd]", schema_for!(SystemdSection)),
        ("daemon", "### [daemon]", schema_for!(DaemonSection)),
        ("notify", "### [notify.NAME]", schema_for!(NotifySection)),
        ("escalation", "### [escalation]", schema_for!(EscalationSection)),
        ("metrics", "### [metrics]", schema_for!(MetricsSection)),
        ("web", "### [web]", schema_for!(WebSection)),
        ("prometheus", "### [prometheus.NAME]", schema_for!(PrometheusSection)),
        ("alertmanager", "### [alertmanager.NAME]", schema_for!(AlertmanagerSection)),
        ("redis", "### [redis.NAME]", schema_for!(RedisSection)),
        ("endpoint", "### [endpoint.NAME]", schema_for!(EndpointSection)),
        ("certificate", "### [certificate.NAME]", schema_for!(CertificateSection)),
        ("metric", "### [metric.NAME]", schema_for!(MetricSection)),
        ("capacity", "### [capacity]", schema_for!(CapacitySection)),
        ("resource", "### [capacity.resource.NAME]", schema_for!(ResourceSection)),
        ("seasons", "### [capacity.seasons]", schema_for!(SeasonsSection)),
    ]
}

fn section(text: &mut String, heading: &str, schema: &Schema, leave_out: &[&str]) {
    let _ = writeln!(text, "{heading}\n");
    if let Some(description) = schema.get("description").and_then(Value::as_str) {
        let _ = writeln!(text, "{description}\n");
    }
    keys(text, schema, leave_out);
}

fn keys(text: &mut String, schema: &Schema, leave_out: &[&str]) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        text.push_str("No keys.\n\n");
        return;
    };
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    text.push_str("| key | type | |\n|---|---|---|\n");
    for (name, property) in properties.iter().filter(|(name, _)| !leave_out.contains(&name.as_str())) {
        let description = property.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ");
        let needed = if required.contains(&name.as_str()) { " **Required.**" } else { "" };
        let _ = writeln!(text, "| `{name}` | {} | {description}{needed} |", type_of(property, schema));
    }
    text.push('\n');
}

/// A type in few words; what a `$ref` names is looked up in the schema's own definitions.
fn type_of(property: &Value, schema: &Schema) -> String {
    if let Some(name) = property.get("$ref").and_then(Value::as_str) {
        let found = schema.get("$defs").and_then(|d| d.get(name.trim_start_matches("#/$defs/")));
        return found.map_or_else(|| "table".to_owned(), |v| type_of(v, schema));
    }
    if let Some(any) = property.get("anyOf").or(property.get("oneOf")).and_then(Value::as_array) {
        let mut names: Vec<String> = any.iter().map(|v| type_of(v, schema)).filter(|t| t != "null").collect();
        names.dedup();
        return names.join(" or ");
    }
    if let Some(words) = property.get("enum").and_then(Value::as_array) {
        return words.iter().filter_map(Value::as_str).map(|w| format!("`\"{w}\"`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(word) = property.get("const").and_then(Value::as_str) {
        return format!("`\"{word}\"`");
    }
    match property.get("type") {
        Some(Value::String(name)) => word(name, property, schema),
        Some(Value::Array(names)) => {
            let names = names.iter().filter_map(Value::as_str).filter(|n| *n != "null");
            names.map(|n| word(n, property, schema)).collect::<Vec<_>>().join(" or ")
        }
        _ => "table".to_owned(),
    }
}

fn word(name: &str, property: &Value, schema: &Schema) -> String {
    match name {
        "array" => {
            let items = property.get("items").map_or_else(|| "string".to_owned(), |i| type_of(i, schema));
            format!("list of {items}")
        }
        "object" => "table".to_owned(),
        other => other.to_owned(),
    }
}
