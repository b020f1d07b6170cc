-- name: lock_names
-- The names of a batch that are held already, locked until it is committed. $1 to $3: source, name, unit.
SELECT wanted.position, q.id, q.readings
FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS wanted (source, name, unit, position)
JOIN quarantined_name AS q ON q.source = wanted.source AND q.name = wanted.name AND q.unit = wanted.unit
ORDER BY q.source, q.name, q.unit
FOR NO KEY UPDATE OF q

-- name: count_names
SELECT source, count(*) AS names FROM quarantined_name WHERE source = ANY ($1::text[]) GROUP BY source

-- name: put_names
-- Where another session was quicker its row is the one, and is ours to wait for.
INSERT INTO quarantined_name AS q (source, name, unit)
SELECT source, name, unit
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (source, name, unit)
ORDER BY source, name, unit
ON CONFLICT (source, name, unit) DO UPDATE SET last_at = excluded.last_at
RETURNING source, name, unit, id, readings

-- name: find_readings
-- Which instants ($1: name_id, $2: µs since 1970) are kept already, and with what: positions from 1.
-- LIMIT keeps the planner from a scan of the whole table: one descent of the index a reading.
SELECT array_agg(i.position) AS position, array_agg(q.value) AS value, array_agg(q.text) AS text,
       array_agg(q.quality) AS quality
FROM unnest($1::int[], $2::bigint[]) WITH ORDINALITY AS i (name_id, time_us, position)
CROSS JOIN LATERAL (
    SELECT value, text, quality
    FROM quarantined_reading
    WHERE name_id = i.name_id AND time = 'epoch'::timestamptz + i.time_us * interval '1 microsecond'
    LIMIT 1
) AS q

-- name: put_readings
INSERT INTO quarantined_reading (name_id, time, value, text, quality)
SELECT name_id, 'epoch'::timestamptz + time_us * interval '1 microsecond', value, text, quality
FROM unnest($1::int[], $2::bigint[], $3::float8[], $4::text[], $5::smallint[])
    AS i (name_id, time_us, value, text, quality)

-- name: count_up
UPDATE quarantined_name AS q
SET readings = q.readings + more.readings, last_at = now()
FROM unnest($1::int[], $2::int[]) AS more (id, readings)
WHERE q.id = more.id

-- name: held_names
-- $1, $2: only this name, of this source. `sensor`: what the plant knows it as by now.
SELECT q.id, q.source, q.name, q.unit, q.readings, q.first_at, q.last_at,
       (SELECT time FROM quarantined_reading WHERE name_id = q.id ORDER BY time LIMIT 1) AS begin,
       (SELECT time FROM quarantined_reading WHERE name_id = q.id ORDER BY time DESC LIMIT 1) AS end,
       sensor.name AS sensor
FROM quarantined_name AS q
LEFT JOIN gateway ON gateway.name = q.source AND gateway.retired_at IS NULL
LEFT JOIN sensor ON sensor.name = coalesce(gateway.options -> 'names' ->> q.name, q.name)
    AND sensor.kind <> 'derived' AND sensor.retired_at IS NULL
WHERE ($1::text IS NULL OR q.name = $1) AND ($2::text IS NULL OR q.source = $2)
ORDER BY q.source, q.name, q.unit

-- name: held_readings
-- A page of a name, after a time.
SELECT time, value, text, quality FROM quarantined_reading WHERE name_id = $1 AND time > $2 ORDER BY time LIMIT $3

-- name: lock_name
SELECT FROM quarantined_name WHERE id = $1 FOR UPDATE

-- name: take_readings
DELETE FROM quarantined_reading AS q
USING unnest($2::timestamptz[]) AS taken (time)
WHERE q.name_id = $1 AND q.time = taken.time
RETURNING q.time

-- name: count_down
UPDATE quarantined_name SET readings = readings - $2 WHERE id = $1

-- name: drop_empty
-- By its count, which is looked at again once it is locked: readings that came meanwhile are not seen by this statement.
DELETE FROM quarantined_name WHERE id = $1 AND readings = 0

-- name: lock_held
SELECT id
FROM quarantined_name
WHERE name = $1 AND ($2::text IS NULL OR source = $2)
ORDER BY source, name, unit
FOR UPDATE

-- name: drop_readings
DELETE FROM quarantined_reading WHERE name_id = ANY ($1::int[])

-- name: drop_names
DELETE FROM quarantined_name WHERE id = ANY ($1::int[])

-- name: newest_held
SELECT time, value, text, quality FROM quarantined_reading WHERE name_id = $1 ORDER BY time DESC LIMIT $2
