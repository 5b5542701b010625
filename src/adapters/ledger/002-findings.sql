CREATE TABLE finding (
    run     TEXT NOT NULL REFERENCES run (id) ON DELETE CASCADE,
    step    TEXT NOT NULL,
    number  INTEGER NOT NULL,
    subject TEXT NOT NULL,
    value   REAL,
    unit    TEXT,
    band    TEXT NOT NULL,
    seen    TEXT NOT NULL,
    source  TEXT,
    hint    TEXT,
    PRIMARY KEY (run, step, number)
) STRICT;

-- The same subject over many runs: trends.
CREATE INDEX finding_subject ON finding (subject, step);
