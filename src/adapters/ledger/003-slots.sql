-- What a job owes: its slots since `since` are accounted for until `settled`.
CREATE TABLE duty (
    job      TEXT PRIMARY KEY,
    schedule TEXT NOT NULL,
    since    TEXT NOT NULL,
    settled  TEXT NOT NULL
) STRICT;

-- A slot that passed without a run, and why.
CREATE TABLE missed (
    job    TEXT NOT NULL,
    slot   TEXT NOT NULL,
    why    TEXT NOT NULL,
    detail TEXT NOT NULL,
    noted  TEXT NOT NULL,
    PRIMARY KEY (job, slot)
) STRICT;

CREATE INDEX missed_noted ON missed (noted);

CREATE INDEX run_of_slot ON run (job, slot) WHERE slot IS NOT NULL;

CREATE INDEX run_unfinished ON run (job) WHERE outcome IS NULL;
