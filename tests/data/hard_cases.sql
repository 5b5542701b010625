-- Hard cases for a dump: everything that the main job must bring back. psql reads it (dollar quotes, backslashes).
SET client_min_messages = warning;
CREATE SCHEMA "Größe & Maß";
CREATE SCHEMA app;
COMMENT ON SCHEMA app IS 'it''s the "application"';

-- Types
CREATE TYPE app.mood AS ENUM ('sad', 'ok', 'sehr glücklich', 'with''quote');
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.point3 AS (x float8, y float8, z numeric(20, 5));
CREATE TYPE app.floatrange AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE TABLE app.types (
    id int GENERATED ALWAYS AS IDENTITY (START 10 INCREMENT 5) PRIMARY KEY,
    serial_id bigserial,
    doubled bigint GENERATED ALWAYS AS (serial_id * 2) STORED,
    mood app.mood DEFAULT 'ok', pos app.positive, pt app.point3, fr app.floatrange, nr nummultirange,
    ints int[], grid text[][], moods app.mood[], pts app.point3[],
    b bytea, j json, jb jsonb, x xml, u uuid, ip inet, m macaddr, bits bit varying(12), money_ money,
    ts timestamp, tstz timestamptz, iv interval, d date, t time, ttz timetz, n numeric, f float4, g float8,
    "char" "char", nm name, tsv tsvector, "user" text COLLATE "C", box_ box, lsn pg_lsn
);
INSERT INTO app.types (mood, pos, pt, fr, nr, ints, grid, moods, pts, b, j, jb, x, u, ip, m, bits, money_, ts, tstz, iv,
    d, t, ttz, n, f, g, "char", nm, tsv, "user", box_, lsn)
VALUES ('sehr glücklich', 7, '(1.5,-0,3.14159)', '[1.1,2.2)', '{[1,2),(5,)}', '{1,NULL,3}', '{{"a,b","c\"d"},{"","NULL"}}',
    '{sad,"with''quote"}', ARRAY[ROW(1, 2, 3)::app.point3, NULL], '\x00ff5c0a09', '{"a" : [1, 2 ]}', '{"k": "v\t\\"}',
    '<a>&lt;</a>', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '192.168.0.0/24', '08:00:2b:01:02:03', B'10101', 12.34,
    'infinity', '2026-03-29 02:30:00+01', '1 year 2 mons -3 days 04:05:06.789', '0044-03-15 BC', '24:00', '23:59:59-15:59',
    'NaN', 1e-30, 'Infinity', 'x', 'name', 'fat:1A cat:2', E'tab\there\nnew\\line', '((0,0),(1,1))', '16/B374D848'),
    (NULL, NULL, NULL, 'empty', '{}', '{}', NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    NULL, NULL, NULL, NULL, 1e-130, 0.1, 0.1, '', NULL, NULL, '', NULL, NULL);
INSERT INTO app.types (g, n) SELECT 1.0 / i, 10 ^ -i FROM generate_series(1, 50) i;

-- Text that looks like the COPY format
CREATE TABLE app.escapes (id int PRIMARY KEY, v text);
INSERT INTO app.escapes VALUES (1, E'back\\slash'), (2, E'tab\t'), (3, E'line\nfeed'), (4, E'\\.'), (5, E'cr\r\nlf'), (6, '\N'),
    (7, ''), (8, NULL), (9, E'\b\f\v'), (10, E'\\\\.'), (11, E'\n\\.\n'), (12, '-- PostgreSQL database dump complete'),
    (13, 'COPY app.escapes (id, v) FROM stdin;'), (14, 'Zürich 日本語 🦀'), (15, repeat('x', 300000)), (16, '\connect postgres');
CREATE TABLE app.only_dots (v text);
INSERT INTO app.only_dots VALUES (E'\\.'), ('.'), (E'\\'), (NULL);

-- Empty, zero-column, quoted, odd
CREATE TABLE app.empty (a int, b text);
CREATE TABLE app.no_columns ();
INSERT INTO app.no_columns SELECT FROM generate_series(1, 7);
CREATE TABLE app.no_columns_empty ();
CREATE TABLE "Größe & Maß"."Tabelle ""mit"" Namen" ("Spalte 1" int, "select" text, "a.b" text, "ü\n" text);
INSERT INTO "Größe & Maß"."Tabelle ""mit"" Namen" VALUES (1, 'eins', 'x.y', 'z'), (2, NULL, '', E'\t');
CREATE TABLE "Größe & Maß"."line
break; DROP TABLE app.types; --" (a int);
INSERT INTO "Größe & Maß"."line
break; DROP TABLE app.types; --" VALUES (1);
CREATE UNLOGGED TABLE app.unlogged (a int);
INSERT INTO app.unlogged VALUES (1), (2);
CREATE TABLE app.dropped_column (a int, gone text, b int DEFAULT 5);
INSERT INTO app.dropped_column VALUES (1, 'x', 2);
ALTER TABLE app.dropped_column DROP COLUMN gone;
CREATE TEMP TABLE scratch AS SELECT 1;

-- Partitions and inheritance
CREATE TABLE app.events (id bigint, at date NOT NULL, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE app.events_2026 PARTITION OF app.events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE app.events_2026_0 PARTITION OF app.events_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE app.events_2026_1 PARTITION OF app.events_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE app.events_old (note text, id bigint NOT NULL, at date NOT NULL);
ALTER TABLE app.events ATTACH PARTITION app.events_old DEFAULT;
INSERT INTO app.events SELECT i, date '2025-06-01' + i, 'n' || i FROM generate_series(1, 500) i;
CREATE TABLE app.listed (k app.mood, v int) PARTITION BY LIST (k);
CREATE TABLE app.listed_sad PARTITION OF app.listed FOR VALUES IN ('sad', NULL);
INSERT INTO app.listed VALUES ('sad', 1), (NULL, 2);
CREATE TABLE app.parent (a int, b text);
CREATE TABLE app.child (c date) INHERITS (app.parent);
CREATE TABLE app.other_parent (z int);
CREATE TABLE app.grandchild (b text, d int) INHERITS (app.child, app.other_parent);
ALTER TABLE app.parent ADD COLUMN late int DEFAULT 3;
INSERT INTO app.parent VALUES (1, 'p', 1);
INSERT INTO app.child (a, b, c) VALUES (2, 'c', '2026-01-01');
INSERT INTO app.grandchild (a, b, c, z, d) VALUES (3, 'g', NULL, 4, 5);

-- Foreign keys in a cycle, on themselves, deferrable
CREATE TABLE app.person (id int PRIMARY KEY, boss int REFERENCES app.person, team int);
CREATE TABLE app.team (id int PRIMARY KEY, lead int REFERENCES app.person DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE app.person ADD FOREIGN KEY (team) REFERENCES app.team DEFERRABLE INITIALLY DEFERRED;
BEGIN;
INSERT INTO app.person VALUES (2, NULL, 1), (1, 2, 1);
INSERT INTO app.team VALUES (1, 2);
COMMIT;
ALTER TABLE app.person ADD CONSTRAINT sane CHECK (id > 0) NOT VALID;
CREATE TABLE app.booked (room int, during tsrange, EXCLUDE USING gist (during WITH &&));
INSERT INTO app.booked VALUES (1, '[2026-01-01,2026-01-02)');

-- Functions, triggers (a restore must not fire them), rules, event triggers
CREATE TABLE app.audit (at timestamptz DEFAULT now(), what text);
CREATE FUNCTION app.on_person() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN INSERT INTO app.audit (what) VALUES ('fired $$'); RETURN NEW; END $body$;
CREATE TRIGGER fires AFTER INSERT ON app.person FOR EACH ROW EXECUTE FUNCTION app.on_person();
CREATE TRIGGER sleeps AFTER DELETE ON app.person FOR EACH ROW EXECUTE FUNCTION app.on_person();
ALTER TABLE app.person DISABLE TRIGGER sleeps;
CREATE FUNCTION app.total(VARIADIC v int[] DEFAULT '{}') RETURNS bigint LANGUAGE sql IMMUTABLE
    BEGIN ATOMIC SELECT sum(x) FROM unnest(v) x; END;
CREATE AGGREGATE app.product (float8) (sfunc = float8mul, stype = float8, initcond = 1);
CREATE OPERATOR app.=== (leftarg = int, rightarg = int, function = int4eq, commutator = OPERATOR(app.===));
CREATE CAST (app.mood AS int) WITH FUNCTION hashenum(anyenum);
CREATE VIEW app.people AS SELECT p.id, t.lead FROM app.person p LEFT JOIN app.team t ON t.id = p.team;
CREATE VIEW app.recursive_a AS SELECT 1 AS a;
CREATE VIEW app.recursive_b AS SELECT a FROM app.recursive_a;
CREATE OR REPLACE VIEW app.recursive_a AS SELECT 2 AS a WHERE NOT EXISTS (SELECT FROM app.person WHERE id < 0);
CREATE RULE quiet AS ON DELETE TO app.audit DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW app.daily AS SELECT at, count(*) FROM app.events GROUP BY at;
CREATE UNIQUE INDEX ON app.daily (at);
CREATE MATERIALIZED VIEW app.daily_sum AS SELECT sum(count) FROM app.daily;
CREATE MATERIALIZED VIEW app.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE INDEX lower_v ON app.escapes (lower(left(v, 10))) WHERE v IS NOT NULL;
CREATE STATISTICS app.stat (dependencies) ON id, boss FROM app.person;
CREATE SEQUENCE app.odd AS smallint START -5 MINVALUE -10 MAXVALUE 5 CYCLE;
SELECT nextval('app.odd');
CREATE SEQUENCE app.untouched;

-- Row-level security, privileges
CREATE TABLE app.tenant (id int, owner text DEFAULT current_user);
INSERT INTO app.tenant VALUES (1, 'a'), (2, 'b');
ALTER TABLE app.tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY mine ON app.tenant USING (owner = current_user) WITH CHECK (id > 0);
GRANT SELECT ON app.types TO pg_monitor;
GRANT UPDATE (v) ON app.escapes TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO pg_monitor;

-- Large objects
SELECT lo_from_bytea(700001, '\x00010203ff'), lo_from_bytea(700002, decode(repeat('ab', 100000), 'hex')), lo_create(700003);
COMMENT ON LARGE OBJECT 700001 IS 'small';
GRANT SELECT ON LARGE OBJECT 700002 TO PUBLIC;

-- Extensions, a configuration table among them; foreign data, publications
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA app;
CREATE EXTENSION IF NOT EXISTS btree_gist SCHEMA public;
CREATE EXTENSION IF NOT EXISTS file_fdw;
CREATE TABLE app.with_hstore (h public.hstore, id uuid DEFAULT app.uuid_nil());
INSERT INTO app.with_hstore VALUES ('"a b"=>"c\"d", n=>NULL', app.uuid_nil());
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE app.passwd (line text) SERVER files OPTIONS (filename '/etc/hostname');
CREATE PUBLICATION everything FOR TABLE app.escapes, app.events;

-- Comments and labels
COMMENT ON COLUMN app.types."user" IS E'multi\nline \\ comment';
COMMENT ON TABLE app.empty IS '';
ALTER TABLE app.escapes ALTER COLUMN v SET STORAGE EXTERNAL;
ALTER TABLE app.escapes SET (autovacuum_enabled = false, fillfactor = 70);
ALTER TABLE app.person REPLICA IDENTITY FULL;
CLUSTER app.person USING person_pkey;
