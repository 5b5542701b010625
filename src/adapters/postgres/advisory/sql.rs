//! What is said to the server.

use super::LockKey;

/// What makes the table; for people too, where maint may not. The epoch grows with every run of a job, whoever runs it.
pub(super) const CREATE: &str = "CREATE SCHEMA IF NOT EXISTS maint; \
     CREATE TABLE IF NOT EXISTS maint.slot (stack text NOT NULL, job text NOT NULL, slot text NOT NULL, \
     epoch bigint NOT NULL, host text NOT NULL, host_id text NOT NULL, run text NOT NULL, state text NOT NULL, \
     began timestamptz NOT NULL, seen timestamptz NOT NULL, ended timestamptz, PRIMARY KEY (stack, job, slot))";
/// What the role needs to know whether it can be used.
pub(super) const USABLE: &str = "SELECT coalesce(has_schema_privilege(n.oid, 'USAGE') \
     AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
     AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'), false)::int \
     FROM pg_namespace n JOIN pg_class c ON c.relnamespace = n.oid WHERE n.nspname = 'maint' AND c.relname = 'slot'";
/// Whether the role may make it.
pub(super) const MAY_CREATE: &str = "SELECT has_database_privilege(current_database(), 'CREATE')::int";
/// A server that lost sight of its holder frees the lock within a minute or so.
pub(super) const KEEPALIVE: &str = "SET tcp_keepalives_idle = 30; SET tcp_keepalives_interval = 10; \
     SET tcp_keepalives_count = 3; SET tcp_user_timeout = 60000; SET synchronous_commit = on";
/// The row of a slot.
pub(super) const ROW: &str =
    "SELECT epoch, host, run, state FROM maint.slot WHERE stack = $1 AND job = $2 AND slot = $3";
/// Who is at work for a job, and was seen lately.
pub(super) const AT_WORK: &str = "SELECT host, run, slot FROM maint.slot WHERE stack = $1 AND job = $2 \
     AND state = 'running' AND seen > clock_timestamp() - make_interval(secs => $3) ORDER BY epoch DESC LIMIT 1";
/// The same, of other hosts alone.
pub(super) const OTHERS: &str = "SELECT run FROM maint.slot WHERE stack = $1 AND job = $2 AND host_id <> $4 \
     AND state = 'running' AND seen > clock_timestamp() - make_interval(secs => $3) LIMIT 1";
/// Whoever has the lock knows that no other run lives.
pub(super) const BURY: &str = "UPDATE maint.slot SET state = 'interrupted', ended = clock_timestamp() \
     WHERE stack = $1 AND job = $2 AND state = 'running' AND epoch < $3::int8";
/// A run begins: one more than any epoch of the job.
pub(super) const BEGIN: &str = "INSERT INTO maint.slot \
     (stack, job, slot, epoch, host, host_id, run, state, began, seen) \
     SELECT $1, $2, $3, coalesce(max(epoch), 0) + 1, $4, $5, $6, 'running', clock_timestamp(), clock_timestamp() \
     FROM maint.slot WHERE stack = $1 AND job = $2 \
     ON CONFLICT (stack, job, slot) DO UPDATE SET epoch = excluded.epoch, host = excluded.host, \
     host_id = excluded.host_id, run = excluded.run, state = excluded.state, began = excluded.began, \
     seen = excluded.seen, ended = NULL RETURNING epoch";
/// Old slots go; the highest epoch stays.
pub(super) const FORGET: &str = "DELETE FROM maint.slot WHERE stack = $1 AND job = $2 AND epoch < $3::int8 - 10000";
pub(super) fn try_lock(LockKey { class, of }: LockKey) -> String {
    format!("SELECT pg_try_advisory_lock({class}, {of})::int")
}

pub(super) fn unlock(LockKey { class, of }: LockKey) -> String {
    format!("SELECT pg_advisory_unlock({class}, {of})::int")
}

/// The own backend, and whether it holds the lock. `pg_locks` shows the two numbers as unsigned ones.
pub(super) fn own_lock(key: LockKey) -> String {
    format!("SELECT pg_backend_pid(), ({})::int", holds(key))
}

fn holds(LockKey { class, of }: LockKey) -> String {
    format!(
        "EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND classid::int8 = {} AND objid::int8 = {} AND objsubid = 2)",
        class.cast_unsigned(),
        of.cast_unsigned()
    )
}

/// A sign of life, which only the holder of the lock can give.
pub(super) fn alive(key: LockKey) -> String {
    format!(
        "UPDATE maint.slot SET seen = clock_timestamp() WHERE stack = $1 AND job = $2 AND slot = $3 AND epoch = $4 \
         AND {} RETURNING pg_backend_pid()",
        holds(key)
    )
}

/// A run ends, if it is still the one that counts. Only the holder of the lock may say how.
pub(super) fn end(key: LockKey) -> String {
    format!("{LEFT} AND {}", holds(key))
}

/// A run that lost its lock ends, if nobody took the slot over.
pub(super) const LEFT: &str = "UPDATE maint.slot SET state = $5, ended = clock_timestamp() \
     WHERE stack = $1 AND job = $2 AND slot = $3 AND epoch = $4";
