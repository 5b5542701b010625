CREATE FUNCTION f() AS $_$ COPY public.x (a) FROM stdin;
$$ \.
$_$;
SELECT E'\'' 'a''b'; /* a /* b */ ' */ SELECT "x""y;";
--
-- PostgreSQL database dump complete
--

