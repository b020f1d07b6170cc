-- name: read_readings
-- $1, $2: sensors and from where each is read; $3, $4: the range, which says what partitions are looked at; $5: rows.
-- One sensor after the other, each through the index in the order of time: nothing is sorted, however long the range.
SELECT r.time, r.sensor_id, r.value, r.quality
FROM unnest($1::int[], $2::timestamptz[]) AS wanted (sensor_id, begin_at)
CROSS JOIN LATERAL (
    SELECT time, sensor_id, value, quality FROM reading
    WHERE sensor_id = wanted.sensor_id AND time >= wanted.begin_at
      AND time >= $3::timestamptz AND time < $4::timestamptz
    ORDER BY time
) AS r
LIMIT $5::bigint

-- name: read_neighbours
-- $1: sensors; $2, $3: a range. Of each sensor the last reading before it, and the first one at or after its end.
SELECT edge.time, edge.sensor_id, edge.value, edge.quality
FROM unnest($1::int[]) AS wanted (sensor_id)
CROSS JOIN LATERAL (
    (SELECT time, sensor_id, value, quality FROM reading
     WHERE sensor_id = wanted.sensor_id AND time < $2::timestamptz ORDER BY time DESC LIMIT 1)
    UNION ALL
    (SELECT time, sensor_id, value, quality FROM reading
     WHERE sensor_id = wanted.sensor_id AND time >= $3::timestamptz ORDER BY time LIMIT 1)
) AS edge

-- name: read_minutes
-- $1: sensors; $2, $3: begins of the first bucket and of the one after the last. Constants for the planner: the views
-- take no condition from a join (docs/decisions/0007).
SELECT time, sensor_id, count, good_count, usable_count,
       coalesce(min, 'NaN') AS min, coalesce(max, 'NaN') AS max, coalesce(sum, 'NaN') AS sum,
       coalesce(sum_sq, 'NaN') AS sum_sq, coalesce(first, 'NaN') AS first, coalesce(last, 'NaN') AS last
FROM reading_1m
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: read_hours
SELECT time, sensor_id, count, good_count, usable_count,
       coalesce(min, 'NaN') AS min, coalesce(max, 'NaN') AS max, coalesce(sum, 'NaN') AS sum,
       coalesce(sum_sq, 'NaN') AS sum_sq, coalesce(first, 'NaN') AS first, coalesce(last, 'NaN') AS last
FROM reading_1h
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: read_days
SELECT time, sensor_id, count, good_count, usable_count,
       coalesce(min, 'NaN') AS min, coalesce(max, 'NaN') AS max, coalesce(sum, 'NaN') AS sum,
       coalesce(sum_sq, 'NaN') AS sum_sq, coalesce(first, 'NaN') AS first, coalesce(last, 'NaN') AS last
FROM reading_1d
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: sum_minutes
-- $1: sensors; $2, $3 as above. What means are made of: a third of the columns, in a third of the time.
SELECT time, sensor_id, usable_count, sum FROM reading_1m
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz AND usable_count > 0

-- name: sum_hours
SELECT time, sensor_id, usable_count, sum FROM reading_1h
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz AND usable_count > 0

-- name: sum_days
SELECT time, sensor_id, usable_count, sum FROM reading_1d
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz AND usable_count > 0

-- name: count_minutes
SELECT time, sensor_id, count FROM reading_1m
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: count_hours
SELECT time, sensor_id, count FROM reading_1h
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: count_days
SELECT time, sensor_id, count FROM reading_1d
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz

-- name: sensors_in_use
SELECT id FROM sensor WHERE retired_at IS NULL ORDER BY id

-- name: last_values
-- $1: sensors. The search for a usable value only happens where the newest is none, and soon gives up.
SELECT wanted.sensor_id, newest.time, newest.value, newest.quality,
       usable.time AS usable_time, usable.value AS usable_value, usable.quality AS usable_quality
FROM unnest($1::int[]) WITH ORDINALITY AS wanted (sensor_id, place)
LEFT JOIN LATERAL (
    SELECT time, value, quality FROM reading WHERE sensor_id = wanted.sensor_id ORDER BY time DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT recent.time, recent.value, recent.quality
    FROM (
        SELECT time, value, quality FROM reading
        WHERE sensor_id = wanted.sensor_id AND newest.quality > 1
        ORDER BY time DESC LIMIT 1000
    ) AS recent
    WHERE recent.quality <= 1
    ORDER BY recent.time DESC LIMIT 1
) AS usable ON true
ORDER BY wanted.place

-- name: last_usable_days
-- $1: sensors without a usable value in a long time: the rollups know the day of the last one.
SELECT sensor_id, max(time) AS day FROM reading_1d
WHERE sensor_id = ANY ($1::int[]) AND last IS NOT NULL
GROUP BY sensor_id

-- name: last_usable_values
-- $1, $2: sensors and their days.
SELECT wanted.sensor_id, usable.time, usable.value, usable.quality
FROM unnest($1::int[], $2::timestamptz[]) AS wanted (sensor_id, day)
CROSS JOIN LATERAL (
    SELECT time, value, quality FROM reading
    WHERE sensor_id = wanted.sensor_id AND time >= wanted.day AND time < wanted.day + interval '24 hours'
      AND quality <= 1
    ORDER BY time DESC LIMIT 1
) AS usable
