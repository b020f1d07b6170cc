-- Plain PostgreSQL ---------------------------------------------------------------------------------------------------

-- name: plain_divided
SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass($1)

-- name: plain_pieces
-- $1: table. Also those that somebody who was killed left detached, or half detached, and did not drop.
SELECT piece.relname AS name
FROM pg_class AS parent
JOIN pg_class AS piece
    ON piece.relnamespace = parent.relnamespace AND piece.relkind = 'r'
    AND piece.relname ~ ('^' || parent.relname || '_\d{8}$')
WHERE parent.oid = to_regclass($1)
ORDER BY piece.relname

-- name: plain_piece
-- $1: table, $2: partition. How it stands; no row: there is none.
SELECT piece.relname AS name, inherited.inhparent IS NOT NULL AS attached,
       coalesce(inherited.inhdetachpending, false) AS pending
FROM pg_class AS piece
LEFT JOIN pg_inherits AS inherited ON inherited.inhrelid = piece.oid AND inherited.inhparent = to_regclass($1)
WHERE piece.oid = to_regclass($2)

-- name: plain_attached
-- $1: table, $2: names of partitions. Those that rows can be stored in.
SELECT piece.relname AS name
FROM pg_inherits AS inherited
JOIN pg_class AS piece ON piece.oid = inherited.inhrelid
WHERE inherited.inhparent = to_regclass($1) AND NOT inherited.inhdetachpending AND piece.relname = ANY ($2::text[])

-- name: plain_bytes
-- $1: table. Each piece's and its own.
SELECT sum(pg_total_relation_size(oid))::bigint
FROM (
    SELECT to_regclass($1)::oid AS oid
    UNION ALL
    SELECT inhrelid FROM pg_inherits WHERE inhparent = to_regclass($1)
) AS part

-- TimescaleDB --------------------------------------------------------------------------------------------------------

-- name: timescale_divided
SELECT EXISTS (
    SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = $1
    UNION ALL
    SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = $1
)

-- name: timescale_pieces
-- $1: hypertable or continuous aggregate
SELECT shown::text AS name, chunk.range_start, chunk.range_end, chunk.is_compressed
FROM show_chunks(to_regclass($1)) AS shown
JOIN timescaledb_information.chunks AS chunk
    ON format('%I.%I', chunk.chunk_schema, chunk.chunk_name)::regclass = shown
ORDER BY chunk.range_start

-- name: timescale_drop_piece
SELECT drop_chunks(to_regclass($1), newer_than => $2::timestamptz, older_than => $3::timestamptz)

-- name: timescale_bytes
-- $1: hypertable or continuous aggregate
SELECT coalesce(sum(size.total_bytes), 0)::bigint AS bytes,
       coalesce(sum(size.total_bytes) FILTER (WHERE chunk.is_compressed), 0)::bigint AS compressed_bytes
FROM chunks_detailed_size(to_regclass($1)) AS size
JOIN timescaledb_information.chunks AS chunk USING (chunk_schema, chunk_name)

-- name: timescale_settings
-- $1: hypertable or continuous aggregate. Whether the columnstore is enabled.
SELECT EXISTS (
    SELECT FROM timescaledb_information.hypertables WHERE hypertable_name = $1 AND compression_enabled
    UNION ALL
    SELECT FROM timescaledb_information.continuous_aggregates WHERE view_name = $1 AND compression_enabled
)

-- name: timescale_late_rows
-- $1: a chunk in columns. Whether rows came to it since, which wait beside them (bit 8: partial).
SELECT _timescaledb_functions.chunk_status(to_regclass($1)) & 8 <> 0

-- Every edition ------------------------------------------------------------------------------------------------------

-- name: lock_retention
SELECT pg_try_advisory_lock(hashtext('series retention'))

-- name: unlock_retention
SELECT pg_advisory_unlock(hashtext('series retention'))

-- name: wait_for_rollups
-- The lock of telemetry/rollups.py: its job keeps away while we hold it.
SELECT pg_advisory_lock(hashtext('reading rollups'))

-- name: let_rollups_go
SELECT pg_advisory_unlock(hashtext('reading rollups'))

-- name: horizon
SELECT time FROM series_horizon WHERE class = $1

-- name: horizons
SELECT class, time FROM series_horizon

-- name: move_horizon
INSERT INTO series_horizon AS h (class, time) VALUES ($1, $2)
ON CONFLICT (class) DO UPDATE SET time = greatest(h.time, excluded.time)

-- name: to_be_counted_before
-- Whether a rollup still has to be made from readings before $1.
SELECT EXISTS (SELECT FROM reading_touched WHERE hour < $1)
    OR EXISTS (SELECT FROM asset_state_touched WHERE hour < $1)

-- name: stored_between
-- One sensor at a time: (sensor_id, time) is the only index.
SELECT min(oldest.time) AS oldest, max(newest.time) AS newest
FROM sensor
CROSS JOIN LATERAL (
    SELECT time FROM reading WHERE sensor_id = sensor.id AND time >= $1 AND time < $2 ORDER BY time LIMIT 1
) AS oldest
CROSS JOIN LATERAL (
    SELECT time FROM reading WHERE sensor_id = sensor.id AND time >= $1 AND time < $2 ORDER BY time DESC LIMIT 1
) AS newest

-- name: forget_marks
-- Hours that can no longer be counted in full: telemetry/rollups.sql leaves them alone.
DELETE FROM reading_touched WHERE hour < (SELECT time FROM series_horizon WHERE class = 'readings')

-- name: sensors
SELECT id FROM sensor ORDER BY id

-- name: collect_needed
-- Before $1: the last known state of each machine, the others of its hour, and the one before that hour. The hours that
-- follow, and this one, are counted from them (cbm/state_rollup.py), be it months until the next report.
CREATE TEMP TABLE reading_needed AS
SELECT kept.time, kept.sensor_id, kept.value, kept.quality
FROM sensor
CROSS JOIN LATERAL (
    SELECT date_trunc('hour', time, 'UTC') AS hour FROM reading
    WHERE sensor_id = sensor.id AND time < $1 AND quality <= 1 AND value IN (0, 1, 2)
    ORDER BY time DESC LIMIT 1
) AS newest
LEFT JOIN LATERAL (
    SELECT time FROM reading
    WHERE sensor_id = sensor.id AND time < newest.hour AND quality <= 1 AND value IN (0, 1, 2)
    ORDER BY time DESC LIMIT 1
) AS earlier ON true
CROSS JOIN LATERAL (
    SELECT time, sensor_id, value, quality FROM reading
    WHERE sensor_id = sensor.id AND time >= coalesce(earlier.time, newest.hour) AND time < $1
      AND quality <= 1 AND value IN (0, 1, 2)
) AS kept
WHERE sensor.kind = 'state'

-- name: forget_needed
DROP TABLE IF EXISTS reading_needed

-- name: count_needed
SELECT count(*) FROM reading_needed WHERE time >= $1 AND time < $2

-- name: has_more_than
SELECT count(*) > $3::bigint FROM (SELECT FROM reading WHERE time >= $1 AND time < $2 LIMIT $3::bigint + 1) AS first

-- name: keep_states_alone
-- The lock of cbm/state_rollup.py: nothing is counted while they are away.
SELECT pg_advisory_xact_lock(hashtext('asset_state_1h'))

-- name: store_needed
INSERT INTO reading (time, sensor_id, value, quality)
SELECT time, sensor_id, value, quality FROM reading_needed WHERE time >= $1 AND time < $2

-- name: other_bytes
SELECT pg_total_relation_size('rejected') AS rejected_bytes,
       pg_total_relation_size('evaluation_journal') + pg_total_relation_size('evaluation_checkpoint') AS journal_bytes,
       pg_database_size(current_database()) AS total_bytes
