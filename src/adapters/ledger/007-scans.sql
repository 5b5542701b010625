-- What the last scan of an image's name found, so that the next one can say what is new.
CREATE TABLE scan (
    image    TEXT PRIMARY KEY,
    id       TEXT NOT NULL,
    scanned  TEXT NOT NULL,
    scanner  TEXT NOT NULL
) STRICT;

CREATE TABLE vulnerability (
    image   TEXT NOT NULL REFERENCES scan (image) ON DELETE CASCADE,
    id      TEXT NOT NULL,
    package TEXT NOT NULL,
    PRIMARY KEY (image, id, package)
) STRICT;
