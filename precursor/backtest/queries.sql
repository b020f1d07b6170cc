-- name: read_hours
-- $1: sensors; $2, $3: begins of the first bucket and of the one after the last. Constants for the planner: the views
-- take no condition from a join (docs/decisions/0007).
SELECT time, sensor_id, count, usable_count, coalesce(min, 'NaN') AS min, coalesce(max, 'NaN') AS max
FROM reading_1h
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: read_minutes
SELECT time, sensor_id, count, usable_count, coalesce(min, 'NaN') AS min, coalesce(max, 'NaN') AS max
FROM reading_1m
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: read_touched
-- Hours of which a rollup may not know every reading yet.
SELECT hour AS time, sensor_id FROM reading_touched
WHERE sensor_id = ANY ($1::int[]) AND hour >= $2::timestamptz AND hour < $3::timestamptz

-- name: read_spans
-- $1, $2, $3: sensors, and from when to when each is read; $4, $5: the range that holds them all, which says what
-- partitions are looked at.
SELECT r.time, r.sensor_id, r.value, r.quality
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS wanted (sensor_id, begin_at, end_at)
CROSS JOIN LATERAL (
    SELECT time, sensor_id, value, quality FROM reading
    WHERE sensor_id = wanted.sensor_id AND time >= wanted.begin_at AND time < wanted.end_at
      AND time >= $4::timestamptz AND time < $5::timestamptz
    ORDER BY time
) AS r
