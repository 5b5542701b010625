-- Images that services of this host have served from: what an update may have to go back to.
CREATE TABLE image (
    project    TEXT NOT NULL,
    service    TEXT NOT NULL,
    id         TEXT NOT NULL,
    name       TEXT NOT NULL,
    digest     TEXT,
    first_seen TEXT NOT NULL,
    last_seen  TEXT NOT NULL,
    PRIMARY KEY (project, service, id)
) STRICT;
