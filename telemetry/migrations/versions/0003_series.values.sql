-- TimescaleDB keeps a float8 in the bits in which it differs from the one before: of multiples of 0.1 or 0.01, which is
-- what sensors give, nearly all. It has no method for a type of ours, and keeps each value once for a thousand rows: a
-- fifth of the space (docs/retention.md). To everybody else a domain without conditions is its base type.
CREATE DOMAIN reading_value AS float8;
ALTER TABLE reading ALTER COLUMN value TYPE reading_value;
