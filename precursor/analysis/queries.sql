-- What the analysis process reads, and up to where it is done.

-- name: one_analysis
-- Session lock: a second process would compute the same once more.
SELECT pg_try_advisory_lock(hashtext('precursor analysis'))

-- name: read_progress
SELECT subject, done_until FROM analysis_progress WHERE task = $1 AND subject = ANY ($2::int[])

-- name: advance
INSERT INTO analysis_progress (task, subject, done_until) VALUES ($1, $2, $3)
ON CONFLICT (task, subject) DO UPDATE SET done_until = excluded.done_until

-- name: next_waveforms
-- $1, $2: sensors, and from when on nothing of them is analysed; $3: blocks a sensor. One probe of the index each.
SELECT wanted.sensor_id, block.time
FROM unnest($1::int[], $2::timestamptz[]) AS wanted (sensor_id, begin_at)
CROSS JOIN LATERAL (
    SELECT time FROM waveform WHERE sensor_id = wanted.sensor_id AND time >= wanted.begin_at ORDER BY time LIMIT $3
) AS block

-- name: last_usable
-- $1: a sensor; $2, $3: begin, exclusive, and end, inclusive.
SELECT time, value FROM reading
WHERE sensor_id = $1 AND time > $2 AND time <= $3 AND quality <= 1
ORDER BY time DESC LIMIT 1

-- name: newest_usable
-- $1: sensors. Gives up where the last thousand readings are of no use.
SELECT wanted.sensor_id, usable.time
FROM unnest($1::int[]) AS wanted (sensor_id)
CROSS JOIN LATERAL (
    SELECT recent.time
    FROM (SELECT time, quality FROM reading WHERE sensor_id = wanted.sensor_id ORDER BY time DESC LIMIT 1000) AS recent
    WHERE recent.quality <= 1
    ORDER BY recent.time DESC LIMIT 1
) AS usable

-- name: running_hours
-- $1: a state sensor; $2, $3: a range. Hours in which the machine ran all the time, up to the last word of the sensor.
SELECT time FROM asset_state_1h
WHERE sensor_id = $1 AND time >= $2 AND time < $3 AND state = 1 AND seconds >= 3599

-- name: failures
-- $1: state sensors; $2: since when, a full hour. Each time one began to say failed, and when it said running again. The hours are counted by the
-- rollup; exact times are those of the readings, as long as they are kept, else the end of the hour.
SELECT hours.sensor_id, coalesce(entry.time, hours.time + interval '1 hour') AS failed_at,
       CASE WHEN entry.time IS NOT NULL THEN again.time ELSE later.time END AS running_at
FROM asset_state_1h AS hours
LEFT JOIN LATERAL (
    SELECT point.time
    FROM (
        SELECT near.time, near.value, lag(near.value) OVER (ORDER BY near.time) AS before
        FROM (
            (SELECT time, value FROM reading
             WHERE sensor_id = hours.sensor_id AND time < hours.time AND quality <= 1 AND value IN (0, 1, 2)
             ORDER BY time DESC LIMIT 1)
            UNION ALL
            (SELECT time, value FROM reading
             WHERE sensor_id = hours.sensor_id AND time >= hours.time AND time < hours.time + interval '1 hour'
               AND quality <= 1 AND value IN (0, 1, 2))
        ) AS near
    ) AS point
    WHERE point.value = 2 AND point.before IS DISTINCT FROM 2 AND point.time >= hours.time
    ORDER BY point.time LIMIT 1
) AS entry ON true
LEFT JOIN LATERAL (
    SELECT time FROM reading
    WHERE sensor_id = hours.sensor_id AND time > entry.time AND quality <= 1 AND value = 1
    ORDER BY time LIMIT 1
) AS again ON true
LEFT JOIN LATERAL (
    SELECT time FROM asset_state_1h AS next
    WHERE next.sensor_id = hours.sensor_id AND next.time > hours.time AND next.state = 1
    ORDER BY time LIMIT 1
) AS later ON true
WHERE hours.sensor_id = ANY ($1::int[]) AND hours.time >= $2 AND hours.state = 2 AND hours.entries > 0
ORDER BY hours.sensor_id, failed_at

-- name: orders
-- $1: assets; $2: since when. Orders that were not cancelled: when they were opened, when the work was done last, and
-- when it was found to have helped.
SELECT ordered.asset_id, ordered.failure_mode, ordered.opened_at, done.at AS done_at, done.verified_at
FROM work_order AS ordered
CROSS JOIN LATERAL (
    SELECT max(at) FILTER (WHERE to_status = 'completed') AS at, max(at) FILTER (WHERE to_status = 'verified') AS verified_at
    FROM work_order_event
    WHERE work_order_id = ordered.id
) AS done
WHERE ordered.asset_id = ANY ($1::int[]) AND ordered.status <> 'cancelled'
  AND coalesce(done.verified_at, done.at, 'infinity') >= $2
ORDER BY ordered.id

-- name: alarmed_assets
-- Those with an alarm about the machine, ever.
SELECT asset.id FROM asset
CROSS JOIN LATERAL (
    SELECT FROM alarm WHERE asset_id = asset.id AND category = 'machine' ORDER BY began_at DESC LIMIT 1
) AS alarmed
WHERE asset.retired_at IS NULL

-- name: first_alarms
-- $1: assets, $2, $3: begins and ends of their lives. Of each life, by its place, the first alarm of each failure mode.
SELECT life.place::int AS place, coalesce(alarm.failure_mode, '') AS failure_mode, min(alarm.began_at) AS began_at
FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS life (asset_id, begin_at, end_at, place)
JOIN alarm ON alarm.asset_id = life.asset_id AND alarm.began_at > life.begin_at AND alarm.began_at <= life.end_at
WHERE alarm.category = 'machine'
GROUP BY 1, 2
ORDER BY 1, 2

-- name: add_prognosis
INSERT INTO prognosis (asset_id, sensor_id, failure_mode, method, model_id, made_at, p10_s, p50_s, p90_s, reason,
                       limit_value, details)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12::jsonb)
ON CONFLICT DO NOTHING

-- name: last_prognosis
SELECT p50_s IS NOT NULL AS answered, reason FROM prognosis
WHERE asset_id = $1 AND sensor_id IS NOT DISTINCT FROM $2 AND failure_mode = $3 AND method = $4
ORDER BY made_at DESC LIMIT 1

-- name: open_prognoses
SELECT asset_id, min(made_at) AS oldest FROM prognosis WHERE outcome IS NULL GROUP BY asset_id

-- name: settle_prognoses
-- $1: an asset; $2: failed or repaired; $3: when; $4: of which failure mode, empty: of any.
UPDATE prognosis SET outcome = $2, outcome_at = $3
WHERE asset_id = $1 AND outcome IS NULL AND made_at <= $3 AND ($4 = '' OR failure_mode IN ('', $4))

-- name: list_prognoses
-- $1: an asset, or null for all; $2: only those that are settled; $3: rows, or null for all. The newest first.
SELECT asset.name AS asset, sensor.name AS sensor, sensor.unit, prognosis.failure_mode, prognosis.method,
       prognosis.made_at, prognosis.p10_s, prognosis.p50_s, prognosis.p90_s, prognosis.reason, prognosis.limit_value,
       prognosis.details::text AS details, prognosis.outcome, prognosis.outcome_at
FROM prognosis
JOIN asset ON asset.id = prognosis.asset_id
LEFT JOIN sensor ON sensor.id = prognosis.sensor_id
WHERE ($1::text IS NULL OR asset.name = $1) AND (NOT $2::bool OR prognosis.outcome IS NOT NULL)
ORDER BY prognosis.made_at DESC, prognosis.id DESC
LIMIT $3
