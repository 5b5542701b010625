CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; END;
CREATE RULE r AS DO (SELECT 1; SELECT 2);
COPY public.n  FROM stdin;

\.
--
-- PostgreSQL database dump complete
--

