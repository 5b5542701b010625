//! Gives a restored database its name, or takes it away again.

use super::{DatabaseError, DatabaseRequest};
use crate::{
    adapters::{
        clock,
        postgres::{PostgresError, Session},
    },
    model::{
        contents::quoted,
        failure::{Class, Diagnose},
    },
};

/// The database that sessions stand in while they rename others. Every server has it, and nobody restores into it.
pub(super) const HOME: &str = "template1";
/// The longest name (manual §4.1.1: NAMEDATALEN - 1).
const LONGEST: usize = 63;
/// Clients that come back at once are ended again so many times.
const TRIES: u32 = 20;

/// How to put a replaced database back, as SQL for psql.
pub fn way_back(name: &str, kept_as: &str) -> String {
    format!(
        "BEGIN; ALTER DATABASE {} RENAME TO {}; ALTER DATABASE {} RENAME TO {}; COMMIT;",
        quoted(name),
        quoted(&aside(name, "restored")),
        quoted(kept_as),
        quoted(name)
    )
}

/// A name beside another one: it says what it was and when, and fits.
fn aside(name: &str, what: &str) -> String {
    let suffix = format!("_{what}_{}", clock::now().format("%Y%m%d%H%M%S"));
    let mut end = name.len().min(LONGEST - suffix.len());
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &name[..end])
}

/// Renames the finished database; gives what the replaced one is called now.
pub(super) async fn give(
    session: &Session,
    request: &DatabaseRequest<'_>,
    unfinished: &str,
) -> Result<Option<String>, DatabaseError> {
    let rename = |from: &str, to: &str| format!("ALTER DATABASE {} RENAME TO {}", quoted(from), quoted(to));
    if request.replace.is_none() {
        session.batch("naming the database", &rename(unfinished, request.name)).await?;
        return Ok(None);
    }
    let kept_as = aside(request.name, "before");
    let swap = format!("BEGIN; {}; {}; COMMIT", rename(request.name, &kept_as), rename(unfinished, request.name));
    let mut tries = 0;
    loop {
        end_sessions(session, request.name).await?;
        let Err(error) = session.batch("swapping the databases", &swap).await else { return Ok(Some(kept_as)) };
        session.batch("giving up the swap", "ROLLBACK").await?;
        tries += 1;
        match &error {
            // Somebody came back in between.
            PostgresError::Query { code, .. } if code == "55006" && tries < TRIES => {}
            PostgresError::Query { code, .. } if code == "55006" => {
                return Err(DatabaseError::Busy { name: request.name.to_owned(), source: error });
            }
            _ => return Err(error.into()),
        }
    }
}

async fn end_sessions(session: &Session, database: &str) -> Result<(), PostgresError> {
    const END: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
    session.query("ending the sessions of the database", END, &[&database]).await.map(drop)
}

/// Drops what was not finished; gives the error with what stays, where something does.
pub(super) async fn discard(request: &DatabaseRequest<'_>, unfinished: &str, error: DatabaseError) -> DatabaseError {
    let drop_it = async {
        // The first session may be what was lost.
        let session = request.session(HOME).await?;
        let template = format!("ALTER DATABASE {} IS_TEMPLATE false", quoted(unfinished));
        session.batch("dropping the half-made database", &template).await?;
        let sql = format!("DROP DATABASE {} WITH (FORCE)", quoted(unfinished));
        session.batch("dropping the half-made database", &sql).await?;
        session.close().await;
        Ok::<_, DatabaseError>(())
    };
    match drop_it.await {
        Err(DatabaseError::Postgres(problem)) if problem.class() != Class::Interrupted => {
            DatabaseError::Leftover { name: unfinished.to_owned(), problem, source: Box::new(error) }
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_beside_fits_and_says_what_it_was() {
        let long = "ä".repeat(40);
        let name = aside(&long, "before");
        assert!(name.len() <= LONGEST && name.starts_with("ä") && name.contains("_before_2"), "{name}");
        assert!(
            way_back("app", "app_before_1").ends_with("ALTER DATABASE \"app_before_1\" RENAME TO \"app\"; COMMIT;")
        );
    }
}
