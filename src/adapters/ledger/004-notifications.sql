-- What kind of failure it was.
ALTER TABLE run ADD COLUMN class TEXT;
-- Whether it was decided who hears of its end: what a dead maint left undecided is found by this.
ALTER TABLE run ADD COLUMN considered INTEGER NOT NULL DEFAULT 0;
UPDATE run SET considered = 1 WHERE outcome IS NOT NULL;
CREATE INDEX run_unconsidered ON run (ended) WHERE considered = 0 AND outcome IS NOT NULL;
ALTER TABLE missed ADD COLUMN considered INTEGER NOT NULL DEFAULT 0;
UPDATE missed SET considered = 1;
CREATE INDEX missed_unconsidered ON missed (job, slot) WHERE considered = 0;

-- A failure that goes on, or went on.
CREATE TABLE incident (
    id          INTEGER PRIMARY KEY,
    about       TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    what        TEXT NOT NULL,
    run         TEXT,
    since       TEXT NOT NULL,
    last        TEXT NOT NULL,
    times       INTEGER NOT NULL,
    level       INTEGER NOT NULL,
    told        TEXT NOT NULL,
    ack_by      TEXT,
    ack_at      TEXT,
    ack_note    TEXT,
    closed      TEXT
) STRICT;

CREATE UNIQUE INDEX incident_open ON incident (about, fingerprint) WHERE closed IS NULL;
CREATE INDEX incident_run ON incident (run);

-- Every message to every channel: written before it is sent.
CREATE TABLE delivery (
    id       TEXT PRIMARY KEY,
    channel  TEXT NOT NULL,
    why      TEXT NOT NULL,
    about    TEXT NOT NULL,
    run      TEXT,
    incident INTEGER REFERENCES incident (id),
    created  TEXT NOT NULL,
    message  TEXT NOT NULL,
    state    TEXT NOT NULL,
    tries    INTEGER NOT NULL DEFAULT 0,
    next_try TEXT NOT NULL,
    ended    TEXT,
    error    TEXT
) STRICT;

CREATE INDEX delivery_open ON delivery (channel, created) WHERE state IN ('waiting', 'sending');
CREATE INDEX delivery_run ON delivery (run);
CREATE INDEX delivery_incident ON delivery (incident);
