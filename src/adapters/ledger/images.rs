//! The images that services have served from: what an update may have to go back to.

use chrono::{DateTime, Utc};
use rusqlite::{Row, params};
use serde::Serialize;

use super::{Ledger, LedgerError};

/// How many images of a service are kept for the way back, the one that runs included.
pub const ROLLBACK_IMAGES: u32 = 3;

/// An image that a service has served from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceImage {
    /// The compose project.
    pub project: String,
    /// The service.
    pub service: String,
    /// The image's id on this host.
    pub id: String,
    /// The name that it had then.
    pub name: String,
    /// What a registry had it as.
    pub digest: Option<String>,
}

fn image(row: &Row<'_>) -> rusqlite::Result<ServiceImage> {
    Ok(ServiceImage {
        project: row.get(0)?,
        service: row.get(1)?,
        id: row.get(2)?,
        name: row.get(3)?,
        digest: row.get(4)?,
    })
}

impl Ledger {
    /// Records that a service serves from an image now.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn serves_from(&self, image: &ServiceImage, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let written = self.db.execute(
            "INSERT INTO image (project, service, id, name, digest, first_seen, last_seen) VALUES (?1,?2,?3,?4,?5,?6,?6)
             ON CONFLICT (project, service, id) DO UPDATE SET name = ?4, digest = coalesce(?5, digest), last_seen = ?6",
            params![image.project, image.service, image.id, image.name, image.digest, now.to_rfc3339()],
        );
        written.map(drop).map_err(self.sql("recording an image"))
    }

    /// The images that nobody may remove: of each service the newest few that it has served from, newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn rollback_images(&self) -> Result<Vec<ServiceImage>, LedgerError> {
        let sql = self.sql("reading images");
        let text = "SELECT project, service, id, name, digest FROM (
                        SELECT *, row_number() OVER (PARTITION BY project, service ORDER BY last_seen DESC, rowid DESC) AS place
                        FROM image)
                    WHERE place <= ? ORDER BY project, service, place";
        let mut query = self.db.prepare(text).map_err(&sql)?;
        let rows = query.query_map([ROLLBACK_IMAGES], image).map_err(&sql)?;
        rows.collect::<Result<_, _>>().map_err(&sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_images_of_each_service_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(dir.path()).unwrap();
        let seen = |service: &str, id: &str, at: i64| {
            let image = ServiceImage {
                project: "p".into(),
                service: service.into(),
                id: id.into(),
                name: "app:latest".into(),
                digest: None,
            };
            ledger.serves_from(&image, DateTime::from_timestamp(at, 0).unwrap()).unwrap();
        };
        for (at, id) in ["a", "b", "c", "d", "b"].into_iter().enumerate() {
            seen("web", id, i64::try_from(at).unwrap());
        }
        seen("api", "x", 0);
        let kept = ledger.rollback_images().unwrap();
        let kept: Vec<_> = kept.iter().map(|image| (image.service.as_str(), image.id.as_str())).collect();
        assert_eq!(kept, [("api", "x"), ("web", "b"), ("web", "d"), ("web", "c")], "the oldest may go");
    }
}
