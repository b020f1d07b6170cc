-- name: insert_readings
-- $1: sensors; $2, $3: begin and end; $4: s between readings. A daily wave, a slow drift and noise, to three digits.
INSERT INTO reading (time, sensor_id, value)
SELECT moment, sensor_id,
       round((20 + 5 * sin(extract(epoch FROM moment) * pi() / 43200) + extract(epoch FROM moment - $2::timestamptz) / 1e7
              + random())::numeric, 3)::float8
FROM unnest($1::int[]) AS sensor (sensor_id)
CROSS JOIN LATERAL generate_series(
    $2::timestamptz + sensor_id % greatest($4::int, 1) * interval '1 second',
    $3::timestamptz - interval '1 second',
    $4::int * interval '1 second'
) AS moment

-- name: raw_hours
-- Hourly means from the readings.
SELECT date_bin('1 hour', time, 'epoch') AS time, avg(value) AS mean
FROM reading
WHERE sensor_id = $1 AND time >= $2 AND time < $3 AND quality <= 1
GROUP BY 1
ORDER BY 1

-- name: raw_last
-- One probe of the index a sensor, and nothing made of what it finds.
SELECT count(*), sum(newest.value)
FROM unnest($1::int[]) AS sensor (sensor_id)
CROSS JOIN LATERAL (
    SELECT value FROM reading WHERE reading.sensor_id = sensor.sensor_id ORDER BY time DESC LIMIT 1
) AS newest

-- name: vacuum
-- As autovacuum would have done by the time a year is full.
VACUUM (ANALYZE)
