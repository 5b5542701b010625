//! `CREATE DATABASE` as the source's database was made.

use crate::model::contents::quoted;

/// The statement for `createdb`'s options of a manifest. `tablespaces`: whether the source's are there.
pub(super) fn sql(name: &str, options: &[String], tablespaces: bool) -> String {
    let mut sql = format!("CREATE DATABASE {}", quoted(name));
    for option in options {
        let Some((option, value)) = option.split_once('=') else { continue };
        let (keyword, name) = match option {
            "--template" => ("TEMPLATE", true),
            "--encoding" => ("ENCODING", false),
            "--lc-collate" => ("LC_COLLATE", false),
            "--lc-ctype" => ("LC_CTYPE", false),
            "--locale-provider" => ("LOCALE_PROVIDER", false),
            "--icu-locale" => ("ICU_LOCALE", false),
            "--builtin-locale" => ("BUILTIN_LOCALE", false),
            "--icu-rules" => ("ICU_RULES", false),
            "--tablespace" if tablespaces => ("TABLESPACE", true),
            _ => continue,
        };
        let value = if name { quoted(value) } else { format!("'{}'", value.replace('\'', "''")) };
        sql.push_str(&format!(" {keyword} = {value}"));
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_words() {
        let options = ["--template=template0", "--encoding=UTF8", "--lc-collate=it's", "--tablespace=fast \"x\""];
        let options = options.map(str::to_owned);
        assert_eq!(
            sql("a \"b\"", &options, true),
            "CREATE DATABASE \"a \"\"b\"\"\" TEMPLATE = \"template0\" ENCODING = 'UTF8' LC_COLLATE = 'it''s' \
             TABLESPACE = \"fast \"\"x\"\"\""
        );
        assert!(!sql("a", &options, false).contains("TABLESPACE"));
    }
}
