SELECT pg_catalog.lo_open('1', 131072);
SELECT pg_catalog.lowrite(0, '\x00ff');
SELECT pg_catalog.lo_close(0);
--
-- PostgreSQL database dump complete
--

