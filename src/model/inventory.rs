//! What a database holds besides rows, object by object, and how two inventories differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::expression;

/// One object of a catalogue: what it is called and what is known of it, numbers told as names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// The catalogue, e.g. `pg_trigger`.
    pub catalogue: String,
    /// The object's name in it, e.g. `keep_log on public.orders`.
    pub identity: String,
    /// Every compared column that is not null, and further facts.
    pub facts: BTreeMap<String, Value>,
}

/// A text is kept up to this length, so that its difference can be shown; a longer one is told by digest.
const LONGEST_TEXT: usize = 64 << 10;

impl Object {
    /// An object as a server told it.
    pub fn new(catalogue: &str, identity: String, facts: BTreeMap<String, Value>) -> Self {
        let short = |value: Value| match value {
            Value::String(text) if text.len() > LONGEST_TEXT => {
                Value::String(format!("{} bytes with XXH3-128 {:032x}", text.len(), xxh3_128(text.as_bytes())))
            }
            other => other,
        };
        let facts = facts.into_iter().map(|(name, value)| (name, short(value))).collect();
        Self { catalogue: catalogue.to_owned(), identity, facts }
    }

    /// A digest of all facts; equal objects have equal ones.
    pub fn digest(&self) -> u128 {
        let text = serde_json::to_vec(&self.facts).unwrap_or_default();
        xxh3_128(&text)
    }

    /// The roles that it names: its owner, and those that something was granted to or by.
    pub fn roles(&self) -> Vec<String> {
        const OTHERS: [&str; 5] = ["defaclrole", "umuser", "polroles", "roleid", "member"];
        let mut roles = Vec::new();
        for (name, value) in &self.facts {
            let values = match value {
                Value::Array(values) => values.as_slice(),
                one => std::slice::from_ref(one),
            };
            let texts = values.iter().filter_map(Value::as_str);
            if name == "privileges" {
                // grantee=PRIVILEGE/grantor, with any sign in either name.
                for text in texts {
                    let grantor = text.rsplit_once('/').map(|(_, grantor)| grantor);
                    let grantee = text.split_once('=').map(|(grantee, _)| grantee);
                    roles.extend(grantor.into_iter().chain(grantee).map(str::to_owned));
                }
            } else if name.ends_with("owner") || OTHERS.contains(&name.as_str()) {
                roles.extend(texts.map(str::to_owned));
            }
        }
        if self.catalogue == "pg_db_role_setting"
            && let Some((role, _)) = self.identity.rsplit_once(' ')
        {
            roles.push(role.to_owned());
        }
        roles
    }

    /// The object for people, e.g. `trigger keep_log on public.orders`.
    pub fn title(&self) -> String {
        title(&self.catalogue, &self.identity)
    }

    /// Which facts of `found` are not those of this object, in words; nothing where both are equal.
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let names = self.facts.keys().chain(found.facts.keys().filter(|name| !self.facts.contains_key(*name)));
        names.filter_map(|name| difference(name, self.facts.get(name), found.facts.get(name))).collect()
    }
}

/// An object for people.
pub fn title(catalogue: &str, identity: &str) -> String {
    let kind = match catalogue {
        "pg_am" => "access method",
        "pg_class" => "relation",
        "pg_attribute" => "column",
        "pg_attrdef" => "default of column",
        "pg_proc" => "routine",
        "pg_namespace" => "schema",
        "pg_authid" => "role",
        "pg_auth_members" => "membership of",
        "pg_description" => "comment on",
        "pg_rewrite" => "rule",
        "pg_enum" => "label",
        "pg_inherits" => "inheritance of",
        "pg_largeobject_metadata" => "large object",
        "pg_statistic_ext" => "statistics object",
        "pg_default_acl" => "default privileges",
        "pg_db_role_setting" => "setting of",
        "pg_database" => "",
        other => other.strip_prefix("pg_").unwrap_or(other),
    };
    // Some names say what they name.
    let rest = identity.strip_prefix(kind).map_or(identity, str::trim_start);
    format!("{} {rest}", kind.replace('_', " ")).trim().to_owned()
}

fn difference(name: &str, expected: Option<&Value>, found: Option<&Value>) -> Option<String> {
    let same = match (expected, found) {
        (Some(Value::String(a)), Some(Value::String(b))) => a == b || expression::same(a, b),
        (a, b) => a == b,
    };
    if same {
        return None;
    }
    if let (Some(Value::Array(a)), Some(Value::Array(b))) = (expected, found) {
        let missing: Vec<String> = a.iter().filter(|v| !b.contains(v)).map(shown).collect();
        let extra: Vec<String> = b.iter().filter(|v| !a.contains(v)).map(shown).collect();
        let mut parts = Vec::new();
        if !missing.is_empty() {
            parts.push(format!("without {}", missing.join(", ")));
        }
        if !extra.is_empty() {
            parts.push(format!("with {} too much", extra.join(", ")));
        }
        if !parts.is_empty() {
            return Some(format!("{name}: {}", parts.join(", ")));
        }
    }
    if name == "privileges"
        && let Some(words) = granted(expected, found)
    {
        return Some(words);
    }
    let told = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), shown);
    Some(format!("{name}: {} instead of {}", told(found), told(expected)))
}

/// What was granted, or is, where the other side has the privileges that every such object begins with: those are not
/// told, so only what the owner gave to others by name is sure to differ.
fn granted(expected: Option<&Value>, found: Option<&Value>) -> Option<String> {
    let (values, before, after) = match (expected, found) {
        (Some(Value::Array(values)), None) => (values, "without ", ""),
        (None, Some(Value::Array(values))) => (values, "with ", " too much"),
        _ => return None,
    };
    let to_others = |text: &&str| {
        let grantee = text.split_once('=').map(|(grantee, _)| grantee);
        let grantor = text.rsplit_once('/').map(|(_, grantor)| grantor);
        grantee != grantor && grantee != Some("PUBLIC")
    };
    let granted: Vec<&str> = values.iter().filter_map(Value::as_str).filter(to_others).collect();
    (!granted.is_empty()).then(|| format!("privileges: {before}{}{after}", granted.join(", ")))
}

/// A value for people, cut where it is long.
fn shown(value: &Value) -> String {
    const LONGEST: usize = 200;
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= LONGEST { flat } else { flat.chars().take(LONGEST).chain(" …".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(facts: &str) -> Object {
        Object {
            catalogue: "pg_trigger".into(),
            identity: "keep on public.t".into(),
            facts: serde_json::from_str(facts).unwrap(),
        }
    }

    #[test]
    fn differences_name_the_fact() {
        let a = object(r#"{"owner":"app","privileges":["a=SELECT/b","c=UPDATE/b"],"gone":1}"#);
        let b = object(r#"{"owner":"root","privileges":["a=SELECT/b"]}"#);
        assert_eq!(
            a.differences(&b),
            ["gone: nothing instead of 1", "owner: root instead of app", "privileges: without c=UPDATE/b"]
        );
        assert!(a.differences(&a).is_empty() && a.digest() != b.digest());
        assert_eq!(a.title(), "trigger keep on public.t");
        assert_eq!(title("pg_description", "table public.t"), "comment on table public.t");
        assert_eq!(title("pg_largeobject_metadata", "large object 7"), "large object 7");
    }

    #[test]
    fn a_grant_that_is_gone_with_all_others_is_named() {
        let a = object(r#"{"privileges":["PUBLIC=EXECUTE/o","app=EXECUTE/o","o=EXECUTE/o"]}"#);
        assert_eq!(a.differences(&object("{}")), ["privileges: without app=EXECUTE/o"]);
        assert_eq!(object("{}").differences(&a), ["privileges: with app=EXECUTE/o too much"]);
        let own = object(r#"{"privileges":["o=EXECUTE/o"]}"#);
        assert_eq!(own.differences(&object("{}")), [r#"privileges: nothing instead of ["o=EXECUTE/o"]"#]);
    }

    #[test]
    fn an_order_that_changed_is_a_difference() {
        let (a, b) = (object(r#"{"keys":["x","y"]}"#), object(r#"{"keys":["y","x"]}"#));
        assert_eq!(a.differences(&b), [r#"keys: ["y","x"] instead of ["x","y"]"#]);
    }
}
