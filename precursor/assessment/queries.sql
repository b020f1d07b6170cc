-- name: read_failures
-- When each of these state sensors went into `failed` ($4), from another state. One that is in it when the range begins
-- failed nobody knows when.
SELECT sensor_id, time
FROM (
    SELECT sensor_id, time, value, lag(value) OVER (PARTITION BY sensor_id ORDER BY time) AS before
    FROM reading
    WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz AND quality <= 1
) AS states
WHERE value = $4::float8 AND before <> $4::float8
ORDER BY time, sensor_id

-- name: read_usual
-- Mean and standard deviation of what each sensor had, by hourly rollups.
SELECT sensor_id,
       sum(sum) / sum(usable_count) AS mean,
       sqrt(greatest(sum(sum_sq)::numeric / sum(usable_count) - (sum(sum)::numeric / sum(usable_count)) ^ 2, 0))::float8
           AS deviation
FROM reading_1h
WHERE sensor_id = ANY ($1::int[]) AND time >= $2::timestamptz AND time < $3::timestamptz AND usable_count > 0
GROUP BY sensor_id

-- name: read_prognoses
SELECT asset_id, method, made_at, p10_s, p50_s, p90_s, outcome
FROM prognosis
WHERE asset_id = ANY ($1::int[]) AND made_at >= $2::timestamptz AND made_at < $3::timestamptz
ORDER BY made_at, id
