\restrict k

SET standard_conforming_strings = on;
COPY public.t (a, "b c") FROM stdin;
1	\\.
\N	\n
\.


--
-- PostgreSQL database dump complete
--

\unrestrict k

