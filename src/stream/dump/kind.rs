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
    /// `ALTER TABLE … ADD CONSTRAINT … FOREIGN KEY`.
    ForeignKey(ForeignKey),
    /// `COMMENT ON CONSTRAINT`: the constraint's name and its table.
    CommentOnConstraint(String, TableName),
    /// It makes, fills or describes a large object.
    LargeObject,
    /// `CREATE ROLE`.
    CreateRole(String),
    /// `ALTER ROLE`.
    AlterRole(String),
    /// `CREATE TABLESPACE`; the text up to its location's string.
    CreateTablespace { name: String, before_location: usize },
    /// Something else about a tablespace.
    AboutTablespace,
    /// `GRANT … TO … GRANTED BY`, one role to another; the text up to the name of the role that granted it.
    Membership { grantor: String, before_grantor: usize },
    /// Anything else.
    Other,
}

/// A foreign key as a dump adds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint.
    pub name: String,
    /// The table that it is on.
    pub table: TableName,
    /// The table that it looks into.
    pub references: TableName,
}

/// Recognises a statement by its first words.
pub fn of(text: &[u8]) -> Kind {
    setting(text)
        .or_else(|| index(text))
        .or_else(|| constraint(text))
        .or_else(|| comment_on_constraint(text))
        .or_else(|| large_object(text))
        .or_else(|| role(text))
        .or_else(|| tablespace(text))
        .or_else(|| membership(text))
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

fn constraint(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    tokens.exactly(b"ALTER TABLE ")?;
    let _ = tokens.exactly(b"ONLY ");
    let on = table(&mut tokens)?;
    tokens.exactly(b"ADD CONSTRAINT ")?;
    let name = tokens.name()?;
    if tokens.exactly(b"PRIMARY KEY ").or_else(|| tokens.exactly(b"UNIQUE ")).is_some() {
        return Some(Kind::Unique(on));
    }
    tokens.exactly(b"FOREIGN KEY (")?;
    tokens.name()?;
    while tokens.exactly(b",").is_some() {
        tokens.name()?;
    }
    tokens.exactly(b")")?;
    tokens.exactly(b"REFERENCES ")?;
    Some(Kind::ForeignKey(ForeignKey { name, table: on, references: table(&mut tokens)? }))
}

fn comment_on_constraint(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    tokens.exactly(b"COMMENT ON CONSTRAINT ")?;
    let name = tokens.name()?;
    tokens.exactly(b"ON ")?;
    Some(Kind::CommentOnConstraint(name, table(&mut tokens)?))
}

fn large_object(text: &[u8]) -> Option<Kind> {
    const FIRST: [&[u8]; 4] =
        [b"SELECT pg_catalog.lo_", b"SELECT pg_catalog.lowrite(", b"ALTER LARGE OBJECT ", b"COMMENT ON LARGE OBJECT "];
    const ON: &[u8] = b" ON LARGE OBJECT ";
    const ABOUT: [&[u8]; 3] = [b"GRANT ", b"REVOKE ", b"SECURITY LABEL FOR "];
    // Before the first quote nothing is a name that somebody chose.
    let plain = text.iter().position(|b| matches!(b, b'"' | b'\'')).map_or(text, |end| &text[..end]);
    let about = ABOUT.iter().any(|first| text.starts_with(first)) && memchr::memmem::find(plain, ON).is_some();
    (about || FIRST.iter().any(|first| text.starts_with(first))).then_some(Kind::LargeObject)
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

fn membership(text: &[u8]) -> Option<Kind> {
    let mut tokens = Tokens(text);
    tokens.exactly(b"GRANT ")?;
    tokens.name()?;
    tokens.exactly(b"TO ")?;
    tokens.name()?;
    if tokens.exactly(b"WITH ").is_some() {
        // Options are plain words; so nothing in them is quoted.
        let end = memchr::memmem::find(tokens.0, b"GRANTED BY ")?;
        let options = &tokens.0[..end];
        options.iter().all(|b| b.is_ascii_uppercase() || matches!(b, b' ' | b',')).then_some(())?;
        tokens.0 = &tokens.0[end..];
    }
    tokens.exactly(b"GRANTED BY ")?;
    let before_grantor = text.len() - tokens.0.len();
    let grantor = tokens.name()?;
    tokens.0.is_empty().then_some(Kind::Membership { grantor, before_grantor })
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
            (
                "ALTER TABLE ONLY a.t\n    ADD CONSTRAINT \"f k\" FOREIGN KEY (id, \"a, b)\") REFERENCES a.\"u (\"(id, x)",
                Kind::ForeignKey(ForeignKey {
                    name: "f k".into(),
                    table: name("a", "t"),
                    references: name("a", "u ("),
                }),
            ),
            ("COMMENT ON CONSTRAINT f ON a.t IS 'x'", Kind::CommentOnConstraint("f".into(), name("a", "t"))),
            ("COMMENT ON CONSTRAINT f ON DOMAIN a.t IS 'x'", Kind::Other),
            ("SELECT pg_catalog.lowrite(0, '\\x00')", Kind::LargeObject),
            ("GRANT SELECT ON LARGE OBJECT 16391 TO x", Kind::LargeObject),
            ("GRANT SELECT(\"a ON LARGE OBJECT b\") ON TABLE public.t TO x", Kind::Other),
            ("SECURITY LABEL FOR p ON LARGE OBJECT 7 IS 'x'", Kind::LargeObject),
            ("SELECT pg_catalog.setval('public.s', 7, true)", Kind::Other),
            ("ALTER TABLE ONLY a.t ALTER COLUMN \"ADD CONSTRAINT x UNIQUE \" SET STATISTICS 1", Kind::Other),
            ("CREATE ROLE \"it's\"", Kind::CreateRole("it's".into())),
            ("ALTER ROLE app WITH NOSUPERUSER", Kind::AlterRole("app".into())),
            ("ALTER ROLE ALL SET x TO 'y'", Kind::AlterRole("all".into())),
            ("GRANT ALL ON TABLESPACE t TO x", Kind::AboutTablespace),
            ("GRANT SET ON PARAMETER work_mem TO x", Kind::Other),
            ("GRANT a TO b", Kind::Other),
            ("CREATE VIEW a AS SELECT 'CREATE INDEX i ON a.b USING '", Kind::Other),
        ] {
            assert_eq!(of(text.as_bytes()), kind, "{text}");
        }
        for (text, by, before) in [
            ("GRANT a TO b GRANTED BY postgres", "postgres", "GRANT a TO b GRANTED BY "),
            (
                "GRANT \"GRANTED BY x\" TO \"b c\" WITH ADMIN OPTION, INHERIT FALSE GRANTED BY \"o p\"",
                "o p",
                "GRANT \"GRANTED BY x\" TO \"b c\" WITH ADMIN OPTION, INHERIT FALSE GRANTED BY ",
            ),
        ] {
            assert_eq!(
                of(text.as_bytes()),
                Kind::Membership { grantor: by.into(), before_grantor: before.len() },
                "{text}"
            );
        }
        let text = b"CREATE TABLESPACE \"f LOCATION 's\" OWNER app LOCATION '/a'";
        let Kind::CreateTablespace { name, before_location } = of(text) else { panic!() };
        assert_eq!((name.as_str(), &text[before_location..]), ("f LOCATION 's", &b"'/a'"[..]));
    }
}
