//! Words for a POSIX shell.

/// Quotes a word where it needs it.
pub fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// What psql and vacuumdb take for the database's name after `-d`, as a word of a shell. A name that looks like a
/// connection string would be read as one (manual, psql: `-d`).
pub fn database(name: &str) -> String {
    if !name.contains('=') && !name.starts_with("postgres://") && !name.starts_with("postgresql://") {
        return word(name);
    }
    word(&format!("dbname='{}'", name.replace('\\', r"\\").replace('\'', r"\'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_survive_a_shell() {
        assert_eq!(word("leanvibe_production"), "leanvibe_production");
        assert_eq!(word("it's; rm -rf $HOME"), r"'it'\''s; rm -rf $HOME'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn a_database_is_never_taken_for_a_connection_string() {
        assert_eq!(database("a b"), "'a b'");
        assert_eq!(database("a=b"), r"'dbname='\''a=b'\'''");
        assert_eq!(database("postgres://x"), r"'dbname='\''postgres://x'\'''");
    }
}
