-- The demo's database: a small shop floor of agents, with the shapes that backups get wrong.
\set ON_ERROR_STOP on
SET client_min_messages = warning;

CREATE ROLE leanvibe LOGIN PASSWORD 'demo';
CREATE ROLE app_read NOLOGIN;
CREATE ROLE "Überwacher" LOGIN IN ROLE app_read;
CREATE DATABASE leanvibe_production OWNER leanvibe ENCODING 'UTF8' TEMPLATE template0;
ALTER DATABASE leanvibe_production SET timezone = 'Europe/Berlin';
ALTER DATABASE leanvibe_production SET search_path = agents, public;
COMMENT ON DATABASE leanvibe_production IS 'the production database of the demo';
GRANT CONNECT ON DATABASE leanvibe_production TO app_read;

\connect leanvibe_production
SELECT setseed(0.42) \g /dev/null

CREATE SCHEMA agents;
CREATE SCHEMA billing;
CREATE SCHEMA "Messwerte 2026";

CREATE TYPE agents.state AS ENUM ('idle', 'working', 'waiting', 'gone');
CREATE DOMAIN billing.amount AS numeric(14, 4) CHECK (VALUE >= 0);
CREATE TYPE agents.place AS (rack int, slot smallint, label text);
CREATE TYPE billing.price_range AS RANGE (subtype = numeric);

CREATE TABLE agents.agent (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    state agents.state NOT NULL DEFAULT 'idle',
    place agents.place,
    tags text[] NOT NULL DEFAULT '{}',
    address inet,
    token uuid NOT NULL,
    seen timestamptz,
    leader bigint
);
ALTER TABLE agents.agent ADD CONSTRAINT agent_leader FOREIGN KEY (leader) REFERENCES agents.agent DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE agents.task (
    id bigint NOT NULL,
    agent bigint REFERENCES agents.agent,
    created timestamptz NOT NULL,
    payload jsonb NOT NULL,
    took interval,
    words tsvector GENERATED ALWAYS AS (to_tsvector('simple', payload ->> 'note')) STORED,
    PRIMARY KEY (id, created)
) PARTITION BY RANGE (created);
CREATE TABLE agents.task_2026_08 PARTITION OF agents.task FOR VALUES FROM ('2026-08-01') TO ('2026-09-01');
CREATE TABLE agents.task_2026_09 PARTITION OF agents.task FOR VALUES FROM ('2026-09-01') TO ('2026-10-01');
CREATE TABLE agents.task_rest PARTITION OF agents.task DEFAULT;

CREATE TABLE billing.invoice (
    number text PRIMARY KEY,
    customer text NOT NULL,
    total billing.amount NOT NULL,
    valid daterange,
    bracket billing.price_range,
    paid boolean,
    document bytea
);
CREATE TABLE "Messwerte 2026"."Größe ""in Zoll""" ("ID" int PRIMARY KEY, "Wert µ" double precision, remark text);
CREATE TABLE billing.only_presence ();
CREATE TABLE billing.empty (id int);

INSERT INTO agents.agent (name, state, place, tags, address, token, seen)
SELECT 'agent-' || i, (enum_range(NULL::agents.state))[1 + i % 4], ROW(i / 40, i % 40, 'rack ' || i / 40)::agents.place,
       ARRAY['zone-' || i % 5, CASE WHEN i % 7 = 0 THEN NULL ELSE 'gpu' END],
       ('10.' || i % 250 || '.' || i / 250 || '.1')::inet, md5(i::text)::uuid,
       '2026-08-01'::timestamptz + i * interval '17 minutes'
FROM generate_series(1, 400) i;
UPDATE agents.agent SET leader = 1 + id % 20;

INSERT INTO agents.task (id, agent, created, payload, took)
SELECT i, 1 + i % 400, '2026-07-25'::timestamptz + i * interval '2 minutes',
       jsonb_build_object('kind', (ARRAY['build', 'review', 'deploy', 'rest'])[1 + i % 4], 'priority', i % 9,
                          'note', 'task ' || i || E' with a tab\there, a newline\nthere and a backslash \\ too',
                          'score', round(random()::numeric, 6)),
       random() * interval '90 minutes'
FROM generate_series(1, 40000) i;

INSERT INTO billing.invoice
SELECT '2026-' || lpad(i::text, 6, '0'), (ARRAY['Ärzte & Söhne', 'O''Brien', 'Łódź sp. z o.o.', '株式会社デモ'])[1 + i % 4],
       round((random() * 9000)::numeric, 4), daterange('2026-01-01'::date + i % 300, NULL),
       billing.price_range(i % 50, i % 50 + 10), i % 3 = 0, decode(md5(i::text) || md5((i * 7)::text), 'hex')
FROM generate_series(1, 6000) i;

INSERT INTO "Messwerte 2026"."Größe ""in Zoll""" VALUES
    (1, 'Infinity', E'\\.'), (2, 'NaN', '\N'), (3, -0.0, ''), (4, 1e-300, NULL), (5, 0.1, E'\\.\nCOPY public.fake FROM stdin;');
INSERT INTO billing.only_presence SELECT FROM generate_series(1, 3);

SELECT lo_from_bytea(0, convert_to(repeat('a large object, part ' || i || E'\n', 500), 'UTF8')) FROM generate_series(1, 3) i \g /dev/null

CREATE FUNCTION agents.touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    -- COPY agents.fake FROM stdin;
    NEW.seen := coalesce(NEW.seen, now());
    RETURN NEW;
END
$body$;
CREATE TRIGGER touch BEFORE UPDATE ON agents.agent FOR EACH ROW EXECUTE FUNCTION agents.touch();
CREATE INDEX task_words ON agents.task USING gin (words);
CREATE VIEW agents.busy AS SELECT name, place FROM agents.agent WHERE state = 'working';
CREATE MATERIALIZED VIEW billing.by_customer AS SELECT customer, sum(total) AS total FROM billing.invoice GROUP BY customer;
CREATE SEQUENCE billing.next_number START 6001;
SELECT setval('billing.next_number', 6000) \g /dev/null

ALTER TABLE billing.invoice ENABLE ROW LEVEL SECURITY;
CREATE POLICY paid_only ON billing.invoice FOR SELECT TO app_read USING (paid);
GRANT USAGE ON SCHEMA agents, billing TO app_read;
GRANT SELECT ON ALL TABLES IN SCHEMA agents, billing TO app_read;
ANALYZE;
