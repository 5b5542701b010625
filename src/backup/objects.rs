//! Compares what a copy holds besides rows with what its source said of itself: every object by name, and sequences.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use crate::{
    adapters::postgres::{
        PostgresError, Session, catalogue,
        inventory::{self, RoleAlias},
    },
    model::{
        contents::{Line, SequenceLine},
        inventory::{Object, title},
    },
    stream::{StreamError, contents::ContentsReader},
};

/// Differences are named one by one up to this many; the rest is counted.
const MOST_NAMED: usize = 200;

/// What the source said of itself, from the contents list of a dump or of globals. Of each object only a digest is kept:
/// a database may have very many.
#[derive(Debug)]
pub struct Expected {
    contents: PathBuf,
    digests: HashMap<(String, String), u128>,
    /// The catalogues that were asked; `None` where the source could not tell.
    catalogues: Option<Vec<String>>,
    sequences: Vec<SequenceLine>,
    /// The server's roles.
    pub roles: Vec<String>,
    /// Extensions of the database.
    pub extensions: Vec<String>,
    /// Roles that own something, or that something was granted to or by: a restore needs them.
    pub needed_roles: BTreeSet<String>,
}

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Objects that are the same.
    pub objects: u64,
    /// Sequences whose value is one that the source had.
    pub sequences: u64,
    /// What differs, in words.
    pub differences: Vec<String>,
    /// What could not be compared, and why.
    pub not_compared: Vec<String>,
    untold: u64,
}

impl Compared {
    fn differs(&mut self, difference: String) {
        if self.differences.len() < MOST_NAMED {
            self.differences.push(difference);
        } else {
            self.untold += 1;
        }
    }

    fn finish(mut self) -> Self {
        if self.untold > 0 {
            self.differences.push(format!("and {} more differences", self.untold));
        }
        self
    }
}

impl Expected {
    /// Reads a contents list. Blocking.
    ///
    /// # Errors
    /// When it cannot be read or is damaged.
    pub fn read(contents: &Path) -> Result<Self, StreamError> {
        Self::read_without(contents, |_| false)
    }

    /// Reads a contents list but for objects that the copy should not have. Blocking.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_without(contents: &Path, mut absent: impl FnMut(&Object) -> bool) -> Result<Self, StreamError> {
        let mut this = Self {
            contents: contents.to_owned(),
            digests: HashMap::new(),
            catalogues: None,
            sequences: Vec::new(),
            roles: Vec::new(),
            extensions: Vec::new(),
            needed_roles: BTreeSet::new(),
        };
        for line in ContentsReader::open(contents)? {
            match line? {
                Line::Object(object) if absent(&object) => {}
                Line::Object(object) => {
                    let digest = object.digest();
                    this.needed_roles.extend(object.roles());
                    if object.catalogue == "pg_extension" {
                        this.extensions.push(object.identity.clone());
                    }
                    if this.digests.insert((object.catalogue, object.identity), digest).is_some() {
                        return Err(StreamError::damaged(contents, "has an object twice"));
                    }
                }
                Line::Inventory { catalogues } => this.catalogues = Some(catalogues),
                Line::Sequence(sequence) => this.sequences.push(sequence),
                Line::Role { name } => this.roles.push(name),
                _ => {}
            }
        }
        let Self { needed_roles, roles, .. } = &mut this;
        needed_roles.retain(|name| roles.contains(name));
        Ok(this)
    }

    /// Compares the session's database.
    ///
    /// # Errors
    /// When the connection is lost, or the list cannot be read again.
    pub async fn compare_database(
        self,
        session: &Session,
        alias: Option<&RoleAlias>,
    ) -> Result<Compared, CompareError> {
        let mut compared = Compared::default();
        self.sequences(session, &mut compared).await?;
        let Some(catalogues) = self.catalogues.clone() else {
            compared.not_compared.push("objects: PostgreSQL before 14 cannot tell them by name".into());
            return Ok(compared.finish());
        };
        let mut matching = Matching { expected: self.digests, changed: HashMap::new(), compared };
        inventory::database(session, Some(&catalogues), alias, &mut |object| matching.take(object)).await?;
        Ok(matching.finish(&self.contents)?)
    }

    /// Compares the session's server: roles, memberships, tablespaces, settings.
    ///
    /// # Errors
    /// When the connection is lost, or the list cannot be read again.
    pub async fn compare_server(self, session: &Session, alias: Option<&RoleAlias>) -> Result<Compared, CompareError> {
        let passwords = self.catalogues.as_deref().is_some_and(inventory::with_passwords);
        let mut matching = Matching { expected: self.digests, changed: HashMap::new(), compared: Compared::default() };
        inventory::server(session, passwords, alias, &mut |object| matching.take(object)).await?;
        if !passwords {
            matching.compared.not_compared.push("passwords of roles: they were not captured".into());
        }
        Ok(matching.finish(&self.contents)?)
    }

    async fn sequences(&self, session: &Session, compared: &mut Compared) -> Result<(), PostgresError> {
        if self.sequences.is_empty() {
            return Ok(());
        }
        let found = catalogue::sequences(session).await?;
        for expected in &self.sequences {
            let name = &expected.sequence;
            match found.get(name) {
                Some((value, _)) if expected.admits(*value) => compared.sequences += 1,
                Some((value, _)) => compared.differs(format!(
                    "sequence {name}: last value {} instead of {}",
                    shown(*value),
                    if expected.before == expected.after {
                        shown(expected.before)
                    } else {
                        format!("one between {} and {}", shown(expected.before), shown(expected.after))
                    }
                )),
                None => compared.differs(format!("sequence {name} is missing")),
            }
        }
        Ok(())
    }
}

fn shown(value: crate::model::contents::SequenceValue) -> String {
    format!("{}{}", value.last_value, if value.is_called { "" } else { " (not given out yet)" })
}

/// A comparison that did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    #[error(transparent)]
    Stream(#[from] StreamError),
}

/// A comparison under way: what is not yet found, and what is not as it was.
struct Matching {
    expected: HashMap<(String, String), u128>,
    changed: HashMap<(String, String), Object>,
    compared: Compared,
}

impl Matching {
    fn take(&mut self, object: Object) {
        let key = (object.catalogue.clone(), object.identity.clone());
        match self.expected.remove(&key) {
            Some(digest) if digest == object.digest() => self.compared.objects += 1,
            Some(_) => drop(self.changed.insert(key, object)),
            None => self.compared.differs(format!("{} is there and was not captured", object.title())),
        }
    }

    /// Names what is missing, and, from the list once more, what changed.
    fn finish(mut self, contents: &Path) -> Result<Compared, StreamError> {
        let mut missing: Vec<_> = self.expected.into_keys().map(|(catalogue, name)| title(&catalogue, &name)).collect();
        missing.sort();
        for name in missing {
            self.compared.differs(format!("{name} is missing"));
        }
        if self.changed.is_empty() {
            return Ok(self.compared.finish());
        }
        for line in ContentsReader::open(contents)? {
            let Line::Object(expected) = line? else { continue };
            let key = (expected.catalogue.clone(), expected.identity.clone());
            let Some(found) = self.changed.remove(&key) else { continue };
            let differences = expected.differences(&found);
            if differences.is_empty() {
                self.compared.objects += 1;
            }
            for difference in differences {
                self.compared.differs(format!("{}: {difference}", expected.title()));
            }
        }
        Ok(self.compared.finish())
    }
}
