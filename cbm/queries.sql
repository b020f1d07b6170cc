-- name: job_plans
SELECT id, name, title, tasks::text AS tasks, parts::text AS parts, skills::text AS skills,
       labour_hours, due_within_s
FROM job_plan
WHERE retired_at IS NULL
ORDER BY name;

-- name: touch_state_hours
-- From here on: cbm/state_rollup.py.
-- DO UPDATE ... WHERE false writes nothing but locks a mark that is there already, until the caller commits. With
-- DO NOTHING a refresh could take that mark, not see the caller's uncommitted readings, and the hour stayed wrong.
-- Sorted, so that two writers of the same marks queue up instead of deadlocking.
INSERT INTO asset_state_touched (sensor_id, hour)
SELECT sensor_id, hour FROM unnest($1::int[], $2::timestamptz[]) AS mark (sensor_id, hour) ORDER BY 1, 2
ON CONFLICT (sensor_id, hour) DO UPDATE SET hour = excluded.hour WHERE false;

-- name: one_refresh_at_a_time
SELECT pg_advisory_xact_lock(hashtext('asset_state_1h'));

-- name: take_touched_hours
-- $1: most marks to look at, $2: sensor-hours after which the rest is left for the next round (one mark always goes).
-- A mark changes the hours from the reading before it to the reading after it: those stays get another length.
-- SKIP LOCKED: a mark being written belongs to readings not committed yet, the next round has it.
WITH seen AS MATERIALIZED (
    SELECT sensor_id, hour FROM asset_state_touched ORDER BY sensor_id, hour LIMIT $1 FOR UPDATE SKIP LOCKED
),
spanned AS (
    SELECT seen.sensor_id, seen.hour,
           coalesce(date_trunc('hour', earlier.time, 'UTC'), seen.hour) AS begin_hour,
           coalesce(date_trunc('hour', later.time, 'UTC'), seen.hour) + interval '1 hour' AS end_hour
    FROM seen
    LEFT JOIN LATERAL (
        SELECT time FROM reading
        WHERE sensor_id = seen.sensor_id AND time < seen.hour AND quality <= 1 AND value IN (0, 1, 2)
        ORDER BY time DESC LIMIT 1
    ) AS earlier ON true
    LEFT JOIN LATERAL (
        SELECT time FROM reading
        WHERE sensor_id = seen.sensor_id AND time >= seen.hour + interval '1 hour'
          AND quality <= 1 AND value IN (0, 1, 2)
        ORDER BY time LIMIT 1
    ) AS later ON true
),
summed AS (
    SELECT *, coalesce(sum(extract(epoch FROM end_hour - begin_hour)) OVER (
        ORDER BY sensor_id, hour ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    ), 0) / 3600 AS hours_before
    FROM spanned
)
DELETE FROM asset_state_touched AS mark
USING summed
WHERE mark.sensor_id = summed.sensor_id AND mark.hour = summed.hour AND summed.hours_before < $2
RETURNING mark.sensor_id, summed.begin_hour, summed.end_hour;

-- name: clear_state_hours
DELETE FROM asset_state_1h AS kept
USING unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS span (sensor_id, begin_hour, end_hour)
WHERE kept.sensor_id = span.sensor_id AND kept.time >= span.begin_hour AND kept.time < span.end_hour;

-- name: write_state_hours
-- Whole hours from the stored readings alone, whatever the rollup said before.
WITH span AS (
    -- Overlapping spans become one, so that no hour is written twice.
    SELECT sensor_id, lower(piece) AS begin_hour, upper(piece) AS end_hour
    FROM (
        SELECT sensor_id, range_agg(tstzrange(begin_hour, end_hour)) AS pieces
        FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS given (sensor_id, begin_hour, end_hour)
        GROUP BY sensor_id
    ) AS merged, unnest(merged.pieces) AS piece
),
stay AS (
    SELECT span.sensor_id, span.begin_hour, span.end_hour, point.state, point.time AS since,
           lead(point.time) OVER readings AS until,
           point.state IS DISTINCT FROM lag(point.state) OVER readings AS entered
    FROM span
    CROSS JOIN LATERAL (
        (SELECT time, value::smallint AS state FROM reading
         WHERE sensor_id = span.sensor_id AND time < span.begin_hour AND quality <= 1 AND value IN (0, 1, 2)
         ORDER BY time DESC LIMIT 1)
        UNION ALL
        (SELECT time, value::smallint FROM reading
         WHERE sensor_id = span.sensor_id AND time >= span.begin_hour AND time < span.end_hour
           AND quality <= 1 AND value IN (0, 1, 2))
        UNION ALL
        (SELECT time, value::smallint FROM reading
         WHERE sensor_id = span.sensor_id AND time >= span.end_hour AND quality <= 1 AND value IN (0, 1, 2)
         ORDER BY time LIMIT 1)
    ) AS point
    WINDOW readings AS (PARTITION BY span.sensor_id, span.begin_hour ORDER BY point.time)
),
part AS (
    -- The last stay of all is open (`until` is null): it has an entry and no length yet.
    SELECT sensor_id, hour, state, 0 AS entries,
           extract(epoch FROM least(until, hour + interval '1 hour') - greatest(since, hour)) AS seconds
    FROM stay
    CROSS JOIN LATERAL generate_series(
        date_trunc('hour', greatest(since, begin_hour), 'UTC'),
        least(until, end_hour) - interval '1 microsecond',
        interval '1 hour'
    ) AS hour
    WHERE until IS NOT NULL
    UNION ALL
    SELECT sensor_id, date_trunc('hour', since, 'UTC'), state, 1, 0
    FROM stay
    WHERE entered AND since >= begin_hour AND since < end_hour
)
INSERT INTO asset_state_1h (time, asset_id, sensor_id, state, seconds, entries)
SELECT part.hour, sensor.asset_id, part.sensor_id, part.state, sum(part.seconds)::float8, sum(part.entries)::int
FROM part JOIN sensor ON sensor.id = part.sensor_id
GROUP BY 1, 2, 3, 4;

-- name: newest_report
-- $1: asset, or null for all. The newest sign of life: a stale reading is the absence of one.
SELECT max(newest.time) AS as_of
FROM asset
JOIN sensor ON sensor.asset_id = asset.id
CROSS JOIN LATERAL (
    SELECT time FROM reading WHERE sensor_id = sensor.id AND quality < 3 ORDER BY time DESC LIMIT 1
) AS newest
WHERE $1::text IS NULL OR asset.name = $1;

-- name: asset_kpis
-- $1, $2: window; $3: asset, or null for all; $4: by UTC day.
-- The rollup counts for whole hours up to the first that readings not rolled up yet could have changed; the partial
-- first hour and everything after is computed from readings, with the open stay up to the asset's newest report.
-- One statement, one snapshot: the figures are those of the stored readings, however far behind the rollup is.
WITH watched AS (
    SELECT sensor.id AS sensor_id, sensor.name AS sensor, sensor.retired_at, sensor.asset_id,
           asset.name AS asset, asset.title
    FROM sensor JOIN asset ON asset.id = sensor.asset_id
    WHERE sensor.kind = 'state' AND ($3::text IS NULL OR asset.name = $3)
),
report AS (
    SELECT sensor.asset_id, max(newest.time) AS as_of
    FROM sensor
    CROSS JOIN LATERAL (
        SELECT time FROM reading WHERE sensor_id = sensor.id AND quality < 3 ORDER BY time DESC LIMIT 1
    ) AS newest
    WHERE sensor.asset_id IN (SELECT asset_id FROM watched)
    GROUP BY sensor.asset_id
),
known AS (
    SELECT watched.*, report.as_of, newest.time AS newest_at,
           -- A retired sensor says nothing of the time after; its last state does not go on for ever.
           CASE WHEN watched.retired_at IS NULL THEN report.as_of
                ELSE greatest(newest.time, least(report.as_of, watched.retired_at)) END AS known_until,
           -- The first hour that counts as not rolled up.
           date_trunc('hour', least(newest.time, coalesce(earlier.time, pending.hour)), 'UTC') AS live_from
    FROM watched
    JOIN report ON report.asset_id = watched.asset_id
    CROSS JOIN LATERAL (
        SELECT time FROM reading
        WHERE sensor_id = watched.sensor_id AND quality <= 1 AND value IN (0, 1, 2)
        ORDER BY time DESC LIMIT 1
    ) AS newest
    CROSS JOIN LATERAL (
        SELECT min(hour) AS hour FROM asset_state_touched WHERE sensor_id = watched.sensor_id
    ) AS pending
    LEFT JOIN LATERAL (
        SELECT time FROM reading
        WHERE sensor_id = watched.sensor_id AND time < pending.hour AND quality <= 1 AND value IN (0, 1, 2)
        ORDER BY time DESC LIMIT 1
    ) AS earlier ON true
),
cut AS (
    SELECT known.*, whole.hour AS rollup_begin,
           greatest(whole.hour, least(date_trunc('hour', $2::timestamptz, 'UTC'), known.live_from)) AS rollup_end
    FROM known
    CROSS JOIN LATERAL (
        SELECT date_trunc('hour', $1::timestamptz + interval '1 hour' - interval '1 microsecond', 'UTC') AS hour
    ) AS whole
),
stay AS (
    SELECT cut.sensor_id, piece.begin_at, piece.end_at, point.state, point.time AS since,
           coalesce(lead(point.time) OVER readings, cut.known_until) AS until,
           point.state IS DISTINCT FROM lag(point.state) OVER readings AS entered
    FROM cut
    CROSS JOIN LATERAL (
        VALUES ($1::timestamptz, least(cut.rollup_begin, $2)), (cut.rollup_end, $2)
    ) AS piece (begin_at, end_at)
    CROSS JOIN LATERAL (
        (SELECT time, value::smallint AS state FROM reading
         WHERE sensor_id = cut.sensor_id AND time < piece.begin_at AND quality <= 1 AND value IN (0, 1, 2)
         ORDER BY time DESC LIMIT 1)
        UNION ALL
        (SELECT time, value::smallint FROM reading
         WHERE sensor_id = cut.sensor_id AND time >= piece.begin_at AND time < piece.end_at
           AND quality <= 1 AND value IN (0, 1, 2))
    ) AS point
    WHERE piece.begin_at < piece.end_at
    WINDOW readings AS (PARTITION BY cut.sensor_id, piece.begin_at ORDER BY point.time)
),
part AS (
    SELECT kept.sensor_id, kept.time AS at, kept.state, kept.seconds, kept.entries
    FROM cut
    JOIN asset_state_1h AS kept
      ON kept.sensor_id = cut.sensor_id AND kept.time >= cut.rollup_begin AND kept.time < cut.rollup_end
    WHERE kept.time >= $1 AND kept.time < $2
    UNION ALL
    SELECT sensor_id, greatest(since, begin_at, day), state,
           extract(epoch FROM least(until, end_at, day + interval '24 hours') - greatest(since, begin_at, day))::float8, 0
    FROM stay
    CROSS JOIN LATERAL generate_series(
        date_trunc('day', greatest(since, begin_at), 'UTC'),
        least(until, end_at) - interval '1 microsecond',
        interval '24 hours'
    ) AS day
    WHERE least(until, end_at) > greatest(since, begin_at)
    UNION ALL
    SELECT sensor_id, since, state, 0, 1 FROM stay WHERE entered AND since >= begin_at AND since < end_at
),
counted AS (
    SELECT sensor_id, CASE WHEN $4 THEN date_trunc('day', at, 'UTC') END AS day,
           coalesce(sum(seconds) FILTER (WHERE state = 0), 0) AS stopped_s,
           coalesce(sum(seconds) FILTER (WHERE state = 1), 0) AS running_s,
           coalesce(sum(seconds) FILTER (WHERE state = 2), 0) AS failed_s,
           coalesce(sum(entries) FILTER (WHERE state = 2), 0)::int AS failures
    FROM part
    GROUP BY 1, 2
)
SELECT watched.asset, watched.title, watched.sensor, bounds.begin_at, bounds.end_at, known.as_of,
       coalesce(counted.stopped_s, 0) AS stopped_s, coalesce(counted.running_s, 0) AS running_s,
       coalesce(counted.failed_s, 0) AS failed_s, coalesce(counted.failures, 0) AS failures,
       CASE WHEN bounds.begin_at < known.known_until THEN first.state END AS state_at_begin,
       last.state AS state_at_end
FROM watched
LEFT JOIN known USING (sensor_id)
LEFT JOIN counted USING (sensor_id)
CROSS JOIN LATERAL (
    SELECT greatest(counted.day, $1::timestamptz) AS begin_at,
           least(counted.day + interval '24 hours', $2::timestamptz) AS end_at
) AS bounds
LEFT JOIN LATERAL (
    SELECT value::smallint AS state FROM reading
    WHERE sensor_id = watched.sensor_id AND time <= bounds.begin_at AND quality <= 1 AND value IN (0, 1, 2)
    ORDER BY time DESC LIMIT 1
) AS first ON true
LEFT JOIN LATERAL (
    SELECT value::smallint AS state FROM reading
    WHERE sensor_id = watched.sensor_id AND time < bounds.end_at AND quality <= 1 AND value IN (0, 1, 2)
    ORDER BY time DESC LIMIT 1
) AS last ON true
WHERE counted.sensor_id IS NOT NULL OR (watched.retired_at IS NULL AND NOT $4)
ORDER BY watched.asset, watched.sensor, bounds.begin_at;
