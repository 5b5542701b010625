//! Kinds of statements that a restore treats in a way of their own. Whatever is not recognised for certain is
//! [`Kind::Other`].

use super::statement::Tokens;
use crate::model::contents::TableName;

/// What a statement is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// It sets something for the session; the text says what, so that the last one of several counts.
    Setting(String),
    /// `CREATE [UNIQUE] INDEX` on this table.
    Index(TableName),
    /// `ALTER TABLE … ADD CONSTRAINT … PRIMARY KEY` or `UNIQUE` on this table.
    Unique(TableName),
    /// `CREATE ROLE`.
    CreateRole(String),
    /// `ALTER ROLE`.
    AlterRole(String),
    /// `CREATE TABLESPACE`; the text up to its location's string.
    CreateTablespace { name: String, before_location: usize },
    /// Something else about a tablespace.
    AboutTablespace,
    /// Anything else.
    Other,
}

/// Recognises a statement by its first words.
pub fn of(text: &[u8]) -> Kind {
    setting(text)
        .or_else(|| index(text))
        .or_else(|| unique(text))
        .or_else(|| role(text))
        .or_else(|| tablespace(text))
        .unwrap_or(Kind::Other)
}

fn setting(text: &[u8]) -> Option<Kind> {
    const SEARCH_PATH: &[u8] = b"SELECT pg_catalog.set_config('search_path', ";
    if text.starts_with(SEARCH_PATH) {
        return Some(Kind::Setting("search_path".to_owned()));
    }
    Tokens(text).exactly(b"SET ")?;
    let mut tokens = Tokens(&text[b"SET ".len()..]);
    let name = tokens.name()?;
    // SET SESSION AUTHORIZATION, SET LOCAL, SET ROLE and the like are no plain settings.
    tokens.exactly(b"=").or_else(|| tokens.exactly(b"TO "))?;
    Some(Kind::Setting(name))
}

fn table(tokens: &mut Tokens<'_>) -> Option<TableName> {
    let schema = tokens.name()?;
    tokens.exactly(b".")?;
    Some(TableName { schema, name: tokens.name()? })
}

fn index(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    tokens.exactly(b"CREATE INDEX ").or_else(|| tokens.exactly(b"CREATE UNIQUE INDEX "))?;
    tokens.name()?;
    tokens.exactly(b"ON ")?;
    let _ = tokens.exactly(b"ONLY ");
    let table = table(&mut tokens)?;
    tokens.exactly(b"USING ")?;
    Some(Kind::Index(table))
}

fn unique(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    tokens.exactly(b"ALTER TABLE ")?;
    let _ = tokens.exactly(b"ONLY ");
    let table = table(&mut tokens)?;
    tokens.exactly(b"ADD CONSTRAINT ")?;
    tokens.name()?;
    tokens.exactly(b"PRIMARY KEY ").or_else(|| tokens.exactly(b"UNIQUE "))?;
    Some(Kind::Unique(table))
}

fn role(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    if tokens.exactly(b"CREATE ROLE ").is_some() {
        return tokens.name().map(Kind::CreateRole);
    }
    tokens.exactly(b"ALTER ROLE ")?;
    tokens.name().map(Kind::AlterRole)
}

fn tablespace(text: &[u8]) -> Option<Kind> {
    const ABOUT: [&[u8]; 6] = [
        b"ALTER TABLESPACE ",
        b"COMMENT ON TABLESPACE ",
        b"GRANT ALL ON TABLESPACE ",
        b"GRANT CREATE ON TABLESPACE ",
        b"REVOKE ALL ON TABLESPACE ",
        b"REVOKE CREATE ON TABLESPACE ",
    ];
    if ABOUT.iter().any(|about| text.starts_with(about)) {
        return Some(Kind::AboutTablespace);
    }
    let mut tokens = Tokens(text);
    tokens.exactly(b"CREATE TABLESPACE ")?;
    let name = tokens.name()?;
    tokens.exactly(b"OWNER ")?;
    tokens.name()?;
    tokens.exactly(b"LOCATION ")?;
    Some(Kind::CreateTablespace { name, before_location: text.len() - tokens.0.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(schema: &str, name: &str) -> TableName {
        TableName { schema: schema.into(), name: name.into() }
    }

    #[test]
    fn kinds() {
        let setting = |name: &str| Kind::Setting(name.into());
        for (text, kind) in [
            ("SET default_tablespace = ''", setting("default_tablespace")),
            ("SET x TO y", setting("x")),
            ("SELECT pg_catalog.set_config('search_path', '', false)", setting("search_path")),
            ("SET SESSION AUTHORIZATION 'x'", Kind::Other),
            ("CREATE INDEX i ON ONLY public.t USING btree (a)", Kind::Index(name("public", "t"))),
            ("CREATE UNIQUE INDEX \"a b\" ON a.\"ON c.d\" USING btree (a)", Kind::Index(name("a", "ON c.d"))),
            ("CREATE INDEX CONCURRENTLY i ON public.t USING btree (a)", Kind::Other),
            ("ALTER TABLE ONLY a.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id)", Kind::Unique(name("a", "t"))),
            ("ALTER TABLE a.t\n    ADD CONSTRAINT \"PRIMARY KEY \" UNIQUE (id)", Kind::Unique(name("a", "t"))),
            ("ALTER TABLE ONLY a.t\n    ADD CONSTRAINT f FOREIGN KEY (id) REFERENCES a.u(id)", Kind::Other),
            ("ALTER TABLE ONLY a.t ALTER COLUMN \"ADD CONSTRAINT x UNIQUE \" SET STATISTICS 1", Kind::Other),
            ("CREATE ROLE \"it's\"", Kind::CreateRole("it's".into())),
            ("ALTER ROLE app WITH NOSUPERUSER", Kind::AlterRole("app".into())),
            ("ALTER ROLE ALL SET x TO 'y'", Kind::AlterRole("all".into())),
            ("GRANT ALL ON TABLESPACE t TO x", Kind::AboutTablespace),
            ("CREATE VIEW a AS SELECT 'CREATE INDEX i ON a.b USING '", Kind::Other),
        ] {
            assert_eq!(of(text.as_bytes()), kind, "{text}");
        }
        let text = b"CREATE TABLESPACE \"f LOCATION 's\" OWNER app LOCATION '/a'";
        let Kind::CreateTablespace { name, before_location } = of(text) else { panic!() };
        assert_eq!((name.as_str(), &text[before_location..]), ("f LOCATION 's", &b"'/a'"[..]));
    }
}
