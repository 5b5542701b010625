//! The properties of a database itself, which its capture writes for psql's `:"DBNAME"`.

use std::path::Path;

use super::{LoadError, connections::execute};
use crate::{
    adapters::{files, postgres::Session},
    model::contents::quoted,
    stream::{
        StreamError,
        dump::{Splitter, Sql, SqlStatement},
    },
};

/// A longer file was not written by maint.
const MAX_BYTES: u64 = 64 << 20;
const VARIABLE: &[u8] = b":\"DBNAME\"";

/// Gives a database the properties of a captured one: owner, privileges, comment, settings. Its roles must be there.
///
/// # Errors
/// When the file cannot be read, or the server refuses a statement.
pub async fn properties(session: &Session, path: &Path, dbname: &str) -> Result<(), LoadError> {
    let text = files::read_limited(path, MAX_BYTES).map_err(StreamError::from)?;
    let mut statements = Vec::new();
    let mut splitter = Splitter::default();
    let split = splitter.feed(&text, &mut |sql| {
        if let Sql::Statement(statement) = sql {
            statements.push(statement);
        }
        Ok(())
    });
    let syntax = |source| LoadError::Syntax { path: path.to_owned(), source };
    split.and_then(|()| splitter.finish()).map_err(syntax)?;
    for SqlStatement { offset, text } in statements {
        execute(session, &SqlStatement { offset, text: named(&text, dbname) }).await?;
    }
    Ok(())
}

/// The statement for this database. Only outside of strings and names a variable is one; both kinds of quotes are
/// doubled inside, so that counting them is enough.
fn named(text: &[u8], dbname: &str) -> Vec<u8> {
    let mut named = Vec::with_capacity(text.len());
    let mut inside = None;
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        if inside.is_none()
            && let Some(after) = rest.strip_prefix(VARIABLE)
        {
            named.extend_from_slice(quoted(dbname).as_bytes());
            rest = after;
            continue;
        }
        if byte == b'\'' || byte == b'"' {
            inside = match inside {
                None => Some(byte),
                Some(quote) if quote == byte => None,
                other => other,
            };
        }
        named.push(byte);
        rest = after;
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_variables_are_replaced() {
        let text = br#"COMMENT ON DATABASE :"DBNAME" IS E'it''s :"DBNAME" \\ "here'"#;
        let named = String::from_utf8(named(text, "a \"b\"")).unwrap();
        assert_eq!(named, r#"COMMENT ON DATABASE "a ""b""" IS E'it''s :"DBNAME" \\ "here'"#);
        let role = br#"ALTER ROLE "x:""DBNAME""" IN DATABASE :"DBNAME" SET a TO 'b'"#;
        let named = String::from_utf8(super::named(role, "d")).unwrap();
        assert_eq!(named, r#"ALTER ROLE "x:""DBNAME""" IN DATABASE "d" SET a TO 'b'"#);
    }
}
