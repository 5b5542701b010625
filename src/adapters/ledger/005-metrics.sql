-- How big the set was that a run published.
ALTER TABLE run ADD COLUMN set_bytes INTEGER;
