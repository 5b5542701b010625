CREATE TABLE run (
    id        TEXT PRIMARY KEY,
    job       TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    slot      TEXT,
    attempt   INTEGER NOT NULL,
    started   TEXT NOT NULL,
    ended     TEXT,
    outcome   TEXT,
    reason    TEXT,
    hint      TEXT,
    pid       INTEGER NOT NULL,
    maint     TEXT NOT NULL,
    set_path  TEXT,
    set_level TEXT
) STRICT;

CREATE INDEX run_job ON run (job, started);

-- At most one successful run for a slot, whoever asks.
CREATE UNIQUE INDEX run_slot ON run (job, slot)
    WHERE slot IS NOT NULL AND outcome IN ('ok', 'changed', 'warning');

CREATE TABLE step (
    run      TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    id       TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    reason   TEXT,
    millis   INTEGER NOT NULL,
    summary  TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT;

CREATE TABLE note (
    run  TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step TEXT NOT NULL,
    text TEXT NOT NULL
) STRICT;
