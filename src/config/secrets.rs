//! A secret by one of the four ways in which a section may give it.

use std::path::PathBuf;

use super::{
    diagnostic::Mistake,
    document::{Document, Segment},
};
use crate::model::secret::{Secret, SecretSource};

/// What a section says about one secret.
pub(super) struct Given {
    /// `<name>_file`
    pub(super) file: Option<PathBuf>,
    /// `<name>_env`
    pub(super) env: Option<String>,
    /// `<name>_credential`
    pub(super) credential: Option<String>,
    /// `<name>`
    pub(super) inline: Option<String>,
}

/// The one way that was given. A second one is a mistake; the secret itself in the file is worth a warning.
pub(super) fn only_one(
    document: &Document,
    section: &[Segment],
    name: &str,
    given: Given,
    mistakes: &mut Vec<Mistake>,
) -> Option<SecretSource> {
    let at = |key: &str| [section, &[Segment::Key(key.to_owned())]].concat();
    let words = name.replace('_', " ");
    let ways = [
        (format!("{name}_file"), given.file.map(SecretSource::File)),
        (format!("{name}_env"), given.env.map(SecretSource::Env)),
        (format!("{name}_credential"), given.credential.map(SecretSource::Credential)),
        (name.to_owned(), given.inline.map(|text| SecretSource::Inline(Secret::new(text)))),
    ];
    let mut found = ways.into_iter().filter_map(|(key, source)| source.map(|s| (key, s)));
    let first = found.next();
    if let Some((key, _)) = found.next() {
        mistakes.push(document.at_path(&at(&key), format!("the {words} is given twice; keep one")));
    }
    let (_, source) = first?;
    if matches!(source, SecretSource::Inline(_)) {
        let mistake = document
            .at_path(&at(name), format!("a {words} in the configuration can be read by whoever reads the file"));
        let help = format!("move it to a 0600 file and use `{name}_file`");
        mistakes.push(Mistake { warning: true, ..mistake.help(help) });
    }
    Some(source)
}
