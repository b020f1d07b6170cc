-- name: add_waveforms
-- Blocks whose sensor and instant are free; gives those. Sorted: one lock order for all writers.
INSERT INTO waveform (time, sensor_id, sample_rate_hz, unit, samples, body)
SELECT time, sensor_id, sample_rate_hz, unit, samples, body
FROM unnest($1::timestamptz[], $2::int[], $3::float8[], $4::text[], $5::int[], $6::bytea[])
    AS new (time, sensor_id, sample_rate_hz, unit, samples, body)
ORDER BY sensor_id, time
ON CONFLICT (sensor_id, time) DO NOTHING
RETURNING sensor_id, time

-- name: find_waveforms
-- $1, $2: sensors and instants. LIMIT as in find_collisions of store.sql: one index probe a block.
SELECT found.time, found.sensor_id, found.sample_rate_hz, found.unit, found.samples, found.body
FROM unnest($1::int[], $2::timestamptz[]) AS wanted (sensor_id, time)
CROSS JOIN LATERAL (
    SELECT time, sensor_id, sample_rate_hz, unit, samples, body FROM waveform
    WHERE sensor_id = wanted.sensor_id AND time = wanted.time LIMIT 1
) AS found

-- name: list_waveforms
-- $1: sensors; $2: begin of the range; $3: the longest block earlier; $4, $5: (time, sensor) before which the page begins,
-- $4 once more alone for the partitions; $6: rows. Of each sensor its newest ones through the index, then the newest.
SELECT listed.time, listed.sensor_id, listed.sample_rate_hz, listed.unit, listed.count, listed.body_bytes
FROM unnest($1::int[]) AS wanted (sensor_id)
CROSS JOIN LATERAL (
    -- octet_length looks at the length of a body, not at the body.
    SELECT time, sensor_id, sample_rate_hz, unit, samples AS count, octet_length(body) AS body_bytes FROM waveform
    WHERE sensor_id = wanted.sensor_id AND time >= $3::timestamptz AND time <= $4::timestamptz
      AND (time, sensor_id) < ($4::timestamptz, $5::int)
      AND (time >= $2::timestamptz OR time + samples / sample_rate_hz * interval '1 second' > $2::timestamptz)
    ORDER BY time DESC
    LIMIT $6::int
) AS listed
ORDER BY listed.time DESC, listed.sensor_id DESC
LIMIT $6::int

-- name: measure_waveforms
-- $1: one sensor; $2, $3: the range; $4: the longest block earlier, or after the last block of the page before; $5: rows.
SELECT time, samples FROM waveform
WHERE sensor_id = $1 AND time >= $4::timestamptz AND time < $3::timestamptz
  AND (time >= $2::timestamptz OR time + samples / sample_rate_hz * interval '1 second' > $2::timestamptz)
ORDER BY time
LIMIT $5::int

-- name: read_waveforms
-- $1: one sensor; $2: begin of the range; $3, $4: first and last block.
SELECT time, sensor_id, sample_rate_hz, unit, samples, body FROM waveform
WHERE sensor_id = $1 AND time >= $3::timestamptz AND time <= $4::timestamptz
  AND (time >= $2::timestamptz OR time + samples / sample_rate_hz * interval '1 second' > $2::timestamptz)
ORDER BY time

-- name: read_waveform
SELECT time, sensor_id, sample_rate_hz, unit, samples, body FROM waveform WHERE sensor_id = $1 AND time = $2
