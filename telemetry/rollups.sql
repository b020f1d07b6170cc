-- name: hold_fence
-- FOR SHARE until the caller commits: the fence cannot pass readings that are stored and not committed.
SELECT time FROM reading_fence FOR SHARE

-- name: touch_hours
-- `marked` changes with every mark, so that a recount never drops a mark younger than itself.
-- Sorted, so that two writers of the same marks queue up instead of deadlocking.
INSERT INTO reading_touched AS mark (sensor_id, hour, begin_at, end_at)
SELECT sensor_id, hour, begin_at, end_at
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[], $4::timestamptz[])
    AS late (sensor_id, hour, begin_at, end_at)
ORDER BY 1, 2
ON CONFLICT (sensor_id, hour) DO UPDATE
SET begin_at = least(mark.begin_at, excluded.begin_at),
    end_at = greatest(mark.end_at, excluded.end_at),
    marked = excluded.marked

-- name: lock_job
SELECT pg_try_advisory_lock(hashtext('reading rollups'))

-- name: unlock_job
SELECT pg_advisory_unlock(hashtext('reading rollups'))

-- name: standing
SELECT w.time AS watermark, f.time AS fence FROM reading_watermark AS w CROSS JOIN reading_fence AS f

-- name: newest_reading
-- $1: from here; $2: up to here, inclusive: a reading from the future is not the data's clock.
-- One sensor at a time: (sensor_id, time) is the only index.
SELECT max(newest.time)
FROM sensor
CROSS JOIN LATERAL (
    SELECT time FROM reading WHERE sensor_id = sensor.id AND time >= $1 AND time <= $2 ORDER BY time DESC LIMIT 1
) AS newest

-- name: oldest_reading
SELECT min(oldest.time)
FROM sensor
CROSS JOIN LATERAL (
    SELECT time FROM reading WHERE sensor_id = sensor.id AND time >= $1 AND time <= $2 ORDER BY time LIMIT 1
) AS oldest

-- name: move_fence
UPDATE reading_fence SET time = $1

-- name: move_watermark
UPDATE reading_watermark SET time = $1

-- name: plan_for_stretch
-- For this transaction. A fill reads one short stretch of time, known when it is planned: what lies outside is left out
-- then, and TimescaleDB's own node, which would decide it again for every sensor and probe, only costs.
SELECT set_config('plan_cache_mode', 'force_custom_plan', true),
       set_config('timescaledb.enable_chunk_append', 'off', true)

-- name: fill_minutes
WITH written AS (
    INSERT INTO reading_1m_kept
    SELECT m.* FROM sensor CROSS JOIN LATERAL reading_minutes(sensor.id, $1, $2) AS m
    RETURNING count
)
SELECT coalesce(sum(count), 0)::bigint FROM written

-- name: fill_hours
INSERT INTO reading_1h_kept
SELECT h.* FROM sensor CROSS JOIN LATERAL reading_hours(sensor.id, $1, $2) AS h

-- name: fill_days
INSERT INTO reading_1d_kept
SELECT d.* FROM sensor CROSS JOIN LATERAL reading_days(sensor.id, $1, $2) AS d

-- name: oldest_marks
-- Those marked last come last: hours that late readings keep coming to do not keep others waiting.
-- Before the horizon readings are gone, or about to go: counted again from the rest, rollups would lose them.
SELECT sensor_id, hour, begin_at, end_at, marked
FROM reading_touched
WHERE hour >= coalesce((SELECT time FROM series_horizon WHERE class = 'readings'), '-infinity')
ORDER BY marked, sensor_id, hour
LIMIT $1

-- name: recount_minutes
-- Readings are never changed or removed, so buckets never are either: writing over them is enough.
INSERT INTO reading_1m_kept AS kept
SELECT m.*
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS span (sensor_id, begin_at, end_at)
CROSS JOIN LATERAL reading_minutes(span.sensor_id, span.begin_at, span.end_at) AS m
ON CONFLICT (sensor_id, time) DO UPDATE
SET count = excluded.count, good_count = excluded.good_count, usable_count = excluded.usable_count,
    min = excluded.min, max = excluded.max, sum = excluded.sum, sum_sq = excluded.sum_sq, first = excluded.first, last = excluded.last

-- name: recount_hours
INSERT INTO reading_1h_kept AS kept
SELECT h.*
FROM unnest($1::int[], $2::timestamptz[]) AS span (sensor_id, begin_at)
CROSS JOIN LATERAL reading_hours(span.sensor_id, span.begin_at, span.begin_at + interval '1 hour') AS h
WHERE span.begin_at < (SELECT date_bin('1 hour', time, 'epoch') FROM reading_watermark)
ON CONFLICT (sensor_id, time) DO UPDATE
SET count = excluded.count, good_count = excluded.good_count, usable_count = excluded.usable_count,
    min = excluded.min, max = excluded.max, sum = excluded.sum, sum_sq = excluded.sum_sq, first = excluded.first, last = excluded.last

-- name: recount_days
INSERT INTO reading_1d_kept AS kept
SELECT d.*
FROM (
    SELECT DISTINCT sensor_id, date_bin('24 hours', hour, 'epoch') AS begin_at
    FROM unnest($1::int[], $2::timestamptz[]) AS touched (sensor_id, hour)
) AS span
CROSS JOIN LATERAL reading_days(span.sensor_id, span.begin_at, span.begin_at + interval '24 hours') AS d
WHERE span.begin_at < (SELECT date_bin('24 hours', time, 'epoch') FROM reading_watermark)
ON CONFLICT (sensor_id, time) DO UPDATE
SET count = excluded.count, good_count = excluded.good_count, usable_count = excluded.usable_count,
    min = excluded.min, max = excluded.max, sum = excluded.sum, sum_sq = excluded.sum_sq, first = excluded.first, last = excluded.last

-- name: drop_marks
-- A mark renewed since, or being renewed (SKIP LOCKED), belongs to readings the recount may not have seen: it stays.
WITH done AS (
    SELECT mark.sensor_id, mark.hour
    FROM reading_touched AS mark
    JOIN unnest($1::int[], $2::timestamptz[], $3::bigint[]) AS seen (sensor_id, hour, marked)
        ON mark.sensor_id = seen.sensor_id AND mark.hour = seen.hour AND mark.marked = seen.marked
    FOR UPDATE OF mark SKIP LOCKED
)
DELETE FROM reading_touched AS mark USING done WHERE mark.sensor_id = done.sensor_id AND mark.hour = done.hour

-- name: refreshes_in_batches
SELECT string_to_array(substring(extversion FROM '^\d+\.\d+'), '.')::int[] >= '{2,28}'
FROM pg_extension
WHERE extname = 'timescaledb'
