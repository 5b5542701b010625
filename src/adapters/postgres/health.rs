//! How a server fares: connections, what has been going on for too long, wraparound, replication, slots.

use super::{PostgresError, Session};

/// What a server says of itself. Where the role may not see other sessions, what depends on them is `None`: what is hidden
/// must not pass for what is not there.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// Client connections.
    pub connections: Option<i64>,
    /// The most that it takes from ordinary roles.
    pub max_connections: i64,
    /// The size of the session's database in bytes.
    pub size: i64,
    /// Queries that run, the oldest first.
    pub active: Option<Vec<Activity>>,
    /// Sessions that hold a transaction open and do nothing, the oldest first.
    pub idle_in_transaction: Option<Vec<Activity>>,
    /// The database that is nearest to wraparound.
    pub transaction_ids: Wraparound,
    /// The same for multixacts.
    pub multixacts: Wraparound,
    /// The age at which the server begins to vacuum against wraparound by itself.
    pub freeze_max_age: i64,
    /// How many autovacuum workers are at work.
    pub autovacuum_workers: Option<i64>,
    /// What it is as a standby; `None`: it is none.
    pub recovery: Option<Recovery>,
    /// Its own standbys.
    pub standbys: Option<Vec<Standby>>,
    /// Prepared transactions: how many, and the oldest one's age in seconds.
    pub prepared: (i64, Option<f64>),
    /// Replication slots.
    pub slots: Vec<Slot>,
}

/// A session that does something, or holds something.
#[derive(Debug, Clone, PartialEq)]
pub struct Activity {
    /// The backend.
    pub pid: i32,
    /// What its program calls itself.
    pub application: String,
    /// Its role.
    pub user: String,
    /// Its database.
    pub database: String,
    /// For how many seconds.
    pub seconds: f64,
}

/// How near a database is to where the counter wraps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wraparound {
    /// The database.
    pub database: String,
    /// The age of its oldest id.
    pub age: i64,
}

/// A server that replays what another one wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Recovery {
    /// Seconds since what it replayed last was written, 0 where it has replayed all that it received; `None`: it never replayed
    /// a transaction.
    pub seconds: Option<f64>,
    /// Bytes of WAL that it received and has not replayed.
    pub bytes: Option<f64>,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Whether it receives from its primary; `None`: it is not known to have one to receive from.
    pub connected: Option<bool>,
}

/// A standby of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct Standby {
    /// What it calls itself.
    pub name: String,
    /// `streaming` where all is well.
    pub state: String,
    /// Seconds that it is behind; `None`: it has caught up, or has replayed nothing since it connected.
    pub seconds: Option<f64>,
    /// Bytes of WAL that it has not replayed; `None`: it has not said yet.
    pub bytes: Option<f64>,
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Slot {
    /// Its name.
    pub name: String,
    /// Whether somebody uses it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Bytes of WAL that it holds back.
    pub bytes: Option<f64>,
    /// The age of the oldest transaction that it holds back.
    pub xmin_age: Option<i64>,
}

/// What counts the connections, as findings show it.
pub const CONNECTIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
/// The size, as findings show it.
pub const SIZE: &str = "SELECT pg_database_size(current_database())";
/// What runs, as findings show it.
pub const ACTIVE: &str = "SELECT pid, query_start, query FROM pg_stat_activity WHERE state = 'active'";
/// What is idle in a transaction, as findings show it.
pub const IDLE: &str = "SELECT pid, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
/// What tells of wraparound, as findings show it.
pub const WRAPAROUND: &str = "SELECT datname, age(datfrozenxid), mxid_age(datminmxid) FROM pg_database";

const FACTS: &str = "\
    SELECT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)
             OR pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
           current_setting('max_connections')::int8 - current_setting('superuser_reserved_connections')::int8,
           pg_database_size(current_database()),
           current_setting('autovacuum_freeze_max_age')::int8,
           (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'),
           pg_is_in_recovery(),
           (SELECT count(*) FROM pg_prepared_xacts),
           (SELECT extract(epoch FROM now() - min(prepared))::float8 FROM pg_prepared_xacts)";

/// What is received says nothing of what was written since the connection broke: without one, all replayed is not no lag.
/// After a start the received end is that of a whole segment, and may lie before the replayed one.
/// `primary_conninfo` is hidden from roles that may not see settings.
const RECOVERY: &str = "\
    SELECT CASE WHEN connected AND pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn() THEN 0
                ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp())::float8 END,
           greatest(pg_wal_lsn_diff(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), 0)::float8,
           pg_is_wal_replay_paused(),
           CASE WHEN connected OR (SELECT setting FROM pg_settings WHERE name = 'primary_conninfo') <> '' THEN connected END
      FROM (SELECT EXISTS (SELECT FROM pg_stat_wal_receiver) AS connected) AS receiver";

/// The walsender of a base backup or standby is no client backend; dumps call themselves so.
const SESSIONS: &str = "\
    SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(datname::text, ''),
           extract(epoch FROM clock_timestamp() - CASE WHEN state = 'active' THEN query_start ELSE xact_start END)::float8,
           state = 'active'
      FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
       AND application_name NOT IN ('pg_dump', 'pg_dumpall', 'pg_basebackup') AND application_name NOT LIKE 'maint%'
       AND (state = 'active' AND query_start IS NOT NULL OR state LIKE 'idle in transaction%' AND xact_start IS NOT NULL)
     ORDER BY 5 DESC";

const AGES: &str =
    "SELECT datname::text, age(datfrozenxid)::int8, mxid_age(datminmxid)::int8 FROM pg_database ORDER BY datname";

/// Neither backups nor receivers of an archive nor subscribers are standbys.
const STANDBYS: &str = "\
    SELECT coalesce(nullif(application_name, ''), client_addr::text, pid::text), coalesce(state, ''),
           extract(epoch FROM replay_lag)::float8,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                           replay_lsn)::float8
      FROM pg_stat_replication AS sender
     WHERE state <> 'backup' AND application_name NOT IN ('pg_basebackup', 'pg_receivewal')
       AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE active_pid = sender.pid AND slot_type = 'logical')
     ORDER BY 1";

const SLOTS: &str = "\
    SELECT slot_name::text, active, wal_status,
           pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END,
                           restart_lsn)::float8,
           greatest(age(xmin), age(catalog_xmin))::int8
      FROM pg_replication_slots WHERE NOT temporary ORDER BY 1";

impl Session {
    /// How the server fares.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn health(&self) -> Result<Health, PostgresError> {
        let facts = self.one("asking how the server fares", FACTS, &[]).await?;
        let sees_all: Option<bool> = facts.get(0);
        let sees_all = sees_all == Some(true);
        let (active, idle_in_transaction) = if sees_all { self.sessions().await?.map_some() } else { (None, None) };
        let standbys = if sees_all { Some(self.standbys().await?) } else { None };
        let (transaction_ids, multixacts) = self.ages().await?;
        let recovery = if facts.get(6) { Some(self.recovery().await?) } else { None };
        Ok(Health {
            connections: sees_all.then(|| facts.get(1)),
            max_connections: facts.get(2),
            size: facts.get(3),
            active,
            idle_in_transaction,
            transaction_ids,
            multixacts,
            freeze_max_age: facts.get(4),
            autovacuum_workers: sees_all.then(|| facts.get(5)),
            recovery,
            standbys,
            prepared: (facts.get(7), facts.get(8)),
            slots: self.slots().await?,
        })
    }

    async fn sessions(&self) -> Result<Sessions, PostgresError> {
        let mut sessions = Sessions::default();
        for row in self.query("listing what sessions do", SESSIONS, &[]).await? {
            let activity = Activity {
                pid: row.get(0),
                application: row.get(1),
                user: row.get(2),
                database: row.get(3),
                seconds: row.get(4),
            };
            if row.get(5) { sessions.active.push(activity) } else { sessions.idle.push(activity) }
        }
        Ok(sessions)
    }

    async fn ages(&self) -> Result<(Wraparound, Wraparound), PostgresError> {
        let none = || Wraparound { database: String::new(), age: 0 };
        let (mut transaction_ids, mut multixacts) = (none(), none());
        for row in self.query("asking for the age of databases", AGES, &[]).await? {
            for (worst, column) in [(&mut transaction_ids, 1), (&mut multixacts, 2)] {
                let age: i64 = row.get(column);
                if age > worst.age || worst.database.is_empty() {
                    *worst = Wraparound { database: row.get(0), age };
                }
            }
        }
        Ok((transaction_ids, multixacts))
    }

    async fn recovery(&self) -> Result<Recovery, PostgresError> {
        let row = self.one("asking how far behind this standby is", RECOVERY, &[]).await?;
        Ok(Recovery { seconds: row.get(0), bytes: row.get(1), paused: row.get(2), connected: row.get(3) })
    }

    async fn standbys(&self) -> Result<Vec<Standby>, PostgresError> {
        let rows = self.query("listing standbys", STANDBYS, &[]).await?;
        let standby = |row: &tokio_postgres::Row| Standby {
            name: row.get(0),
            state: row.get(1),
            seconds: row.get(2),
            bytes: row.get(3),
        };
        Ok(rows.iter().map(standby).collect())
    }

    async fn slots(&self) -> Result<Vec<Slot>, PostgresError> {
        let rows = self.query("listing replication slots", SLOTS, &[]).await?;
        let slot = |row: &tokio_postgres::Row| Slot {
            name: row.get(0),
            active: row.get(1),
            wal_status: row.get(2),
            bytes: row.get(3),
            xmin_age: row.get(4),
        };
        Ok(rows.iter().map(slot).collect())
    }
}

#[derive(Default)]
struct Sessions {
    active: Vec<Activity>,
    idle: Vec<Activity>,
}

impl Sessions {
    fn map_some(self) -> (Option<Vec<Activity>>, Option<Vec<Activity>>) {
        (Some(self.active), Some(self.idle))
    }
}
