//! What belongs to a server, and to a database as a whole.

use super::{RoleAlias, ask, pin, query::role};
use crate::{
    adapters::postgres::{PostgresError, Session},
    model::inventory::Object,
};

/// The catalogue under which a database's own properties are told.
pub(super) const DATABASE: &str = "pg_database";

const PASSWORDS: &str = "passwords";

/// The catalogues that [`server`] asks, and whether passwords are among the facts.
pub fn asked_of_server(passwords: bool) -> Vec<String> {
    let asked =
        ["pg_authid", "pg_auth_members", "pg_db_role_setting", "pg_tablespace", "pg_shseclabel", "pg_parameter_acl"];
    asked.into_iter().chain(passwords.then_some(PASSWORDS)).map(str::to_owned).collect()
}

/// Whether an inventory of a server has passwords among its facts.
pub fn with_passwords(asked: &[String]) -> bool {
    asked.iter().any(|name| name == PASSWORDS)
}

/// Roles with the digest of their password, memberships, their settings, tablespaces, privileges on settings, and what
/// was said about them. `passwords`: whether they were captured.
///
/// # Errors
/// When the connection is lost.
pub async fn server(
    session: &Session,
    passwords: bool,
    alias: Option<&RoleAlias>,
    found: &mut (dyn FnMut(Object) + Send),
) -> Result<(), PostgresError> {
    pin(session).await?;
    let hidden = alias.map_or_else(String::new, |a| format!(" AND rolname <> '{}'", a.from.replace('\'', "''")));
    let table = if passwords { "pg_authid" } else { "pg_roles" };
    let password = if passwords { "encode(sha256(convert_to(rolpassword, 'UTF8')), 'hex')" } else { "NULL" };
    let roles = format!(
        "SELECT quote_ident(rolname), jsonb_strip_nulls(jsonb_build_object('superuser', rolsuper, 'inherit', rolinherit, \
         'createrole', rolcreaterole, 'createdb', rolcreatedb, 'login', rolcanlogin, 'replication', rolreplication, \
         'bypassrls', rolbypassrls, 'connection_limit', rolconnlimit, 'valid_until', rolvaliduntil::text, \
         'password_sha256', {password}, 'comment', shobj_description(oid, 'pg_authid'))) \
         FROM {table} WHERE rolname !~ '^pg_'{hidden}"
    );
    ask(session, "pg_authid", &roles, found).await?;
    // From PostgreSQL 16 on several roles may have granted the same.
    let members = format!(
        "SELECT quote_ident({}) || ' in ' || quote_ident({}) || CASE WHEN count(*) OVER (PARTITION BY m.roleid, m.member) > 1 \
         THEN ' by ' || quote_ident({}) ELSE '' END, to_jsonb(m) - '{{oid,roleid,member,grantor}}'::text[] \
         || jsonb_build_object('grantor', {}) FROM pg_auth_members m WHERE pg_get_userbyid(m.member) !~ '^pg_'",
        role("m.member", alias),
        role("m.roleid", alias),
        role("m.grantor", alias),
        role("m.grantor", alias)
    );
    ask(session, "pg_auth_members", &members, found).await?;
    let settings = format!(
        "SELECT {} || ' ' || split_part(v, '=', 1), jsonb_build_object('value', substr(v, strpos(v, '=') + 1)) \
         FROM pg_db_role_setting s, unnest(s.setconfig) v WHERE s.setdatabase = 0",
        role("s.setrole", alias)
    );
    ask(session, "pg_db_role_setting", &settings, found).await?;
    // The place of a tablespace is the server's own.
    let tablespaces = format!(
        "SELECT quote_ident(spcname), jsonb_strip_nulls(jsonb_build_object('owner', {}, 'options', to_jsonb(spcoptions), \
         'comment', shobj_description(oid, 'pg_tablespace'), 'privileges', {})) FROM pg_tablespace c WHERE spcname !~ '^pg_'",
        role("spcowner", alias),
        grants("spcacl", "acldefault('t', spcowner)", alias)
    );
    ask(session, "pg_tablespace", &tablespaces, found).await?;
    let labels = "SELECT provider || ' label of ' || i.type || ' ' || i.identity, jsonb_build_object('label', label) \
         FROM pg_shseclabel l, pg_identify_object(l.classoid, l.objoid, 0) i WHERE l.classoid <> 'pg_database'::regclass";
    ask(session, "pg_shseclabel", labels, found).await?;
    let parameters =
        session.one("looking for pg_parameter_acl", "SELECT to_regclass('pg_parameter_acl') IS NOT NULL", &[]);
    if parameters.await?.get(0) {
        let sql = format!(
            "SELECT parname, jsonb_build_object('privileges', {}) FROM pg_parameter_acl",
            grants("paracl", "acldefault('p', 10)", alias)
        );
        ask(session, "pg_parameter_acl", &sql, found).await?;
    }
    Ok(())
}

/// The session's database itself. Its name is not told: a copy may have another one.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn database(
    session: &Session,
    alias: Option<&RoleAlias>,
    found: &mut (dyn FnMut(Object) + Send),
) -> Result<(), PostgresError> {
    let sql = format!(
        "SELECT 'the database', jsonb_strip_nulls(jsonb_build_object('owner', {}, 'encoding', pg_encoding_to_char(encoding), \
         'collate', datcollate, 'ctype', datctype, 'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), \
         'template', datistemplate, 'connection_limit', datconnlimit, 'privileges', {}, \
         'comment', shobj_description(d.oid, 'pg_database'))) FROM pg_database d WHERE datname = current_database()",
        role("datdba", alias),
        grants("datacl", "acldefault('d', datdba)", alias)
    );
    ask(session, DATABASE, &sql, found).await?;
    let settings = format!(
        "SELECT {} || ' ' || split_part(v, '=', 1), jsonb_build_object('value', substr(v, strpos(v, '=') + 1)) \
         FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase AND d.datname = current_database(), \
         unnest(s.setconfig) v WHERE s.setrole = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = s.setrole)",
        role("s.setrole", alias)
    );
    ask(session, "pg_db_role_setting", &settings, found).await?;
    let labels = "SELECT provider || ' label', jsonb_build_object('label', label) FROM pg_shseclabel l \
         JOIN pg_database d ON d.oid = l.objoid AND d.datname = current_database() WHERE l.classoid = 'pg_database'::regclass";
    ask(session, "pg_shseclabel", labels, found).await
}

/// Privileges one by one; nothing where they are those that such an object begins with.
fn grants(acl: &str, default: &str, alias: Option<&RoleAlias>) -> String {
    let all = |acl: &str| {
        format!(
            "(SELECT coalesce(to_jsonb(array_agg(x ORDER BY x)), '[]') FROM (SELECT {} || '=' || a.privilege_type || \
             CASE WHEN a.is_grantable THEN '*' ELSE '' END || '/' || {} FROM aclexplode({acl}) a) s (x))",
            role("a.grantee", alias),
            role("a.grantor", alias)
        )
    };
    format!("CASE WHEN {acl} IS NOT NULL THEN NULLIF({}, {}) END", all(acl), all(default))
}
