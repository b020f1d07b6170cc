-- name: load_devices
SELECT device.name, device.kind, device.title, device.source, parent.name AS parent, device.origin, device.status,
       device.status_at, device.registered_at, device.last_seen_at, device.clock_offset_s, device.hardware,
       device.firmware, device.properties::text AS properties, device.credentials, device.stale_after_s,
       device.decommissioned_at
FROM device
LEFT JOIN device AS parent ON parent.id = device.parent_id
WHERE ($1::text IS NULL OR device.name = $1) AND ($2::text IS NULL OR device.status = $2)
ORDER BY device.name COLLATE "C"

-- name: record_sightings
-- $3: the device's clock minus ours (s), as far as one batch tells; $4: our clock.
-- Rows are locked in the order of names, here and below, so that two sessions never wait for each other in a circle.
-- What was written within the last second is left alone: most batches write nothing.
WITH heard AS (
    SELECT device.id, device.status AS before, heard.source, heard.ahead_s,
           CASE
               WHEN device.status = 'quarantined' OR device.decommissioned_at IS NOT NULL THEN 'quarantined'
               ELSE 'online'
           END AS status,
           device.clock_since IS NULL OR device.clock_since <= $4::timestamptz - interval '5 minutes' AS begins
    FROM unnest($1::text[], $2::text[], $3::float8[]) AS heard (name, source, ahead_s)
    JOIN device ON device.name = heard.name
    WHERE device.last_seen_at IS NULL
       OR device.last_seen_at <= $4::timestamptz - interval '1 second'
       OR device.status IN ('offline', 'stale')
    ORDER BY device.name
    FOR NO KEY UPDATE OF device
), moved AS (
    UPDATE device
    SET last_seen_at = greatest(device.last_seen_at, $4),
        source = CASE heard.source WHEN '' THEN device.source ELSE heard.source END,
        status = heard.status,
        status_at = CASE heard.status WHEN heard.before THEN device.status_at ELSE $4 END,
        clock_offset_s = CASE
            WHEN heard.ahead_s IS NULL THEN device.clock_offset_s
            WHEN heard.begins THEN greatest(heard.ahead_s, device.clock_peak_s)
            ELSE greatest(heard.ahead_s, device.clock_offset_s)
        END,
        clock_peak_s = CASE
            WHEN heard.ahead_s IS NULL THEN device.clock_peak_s
            WHEN heard.begins THEN heard.ahead_s
            ELSE greatest(heard.ahead_s, device.clock_peak_s)
        END,
        clock_since = CASE WHEN heard.begins AND heard.ahead_s IS NOT NULL THEN $4 ELSE device.clock_since END
    FROM heard
    WHERE device.id = heard.id
    RETURNING device.name, device.status, heard.before
)
SELECT name, status FROM moved WHERE status <> before ORDER BY name

-- name: mark_silent
WITH silent AS (
    SELECT id
    FROM device
    WHERE status = 'online' AND extract(epoch FROM $1::timestamptz - coalesce(last_seen_at, status_at)) > stale_after_s
    ORDER BY name
    FOR NO KEY UPDATE
)
UPDATE device SET status = 'stale', status_at = $1 FROM silent WHERE device.id = silent.id
RETURNING device.name

-- name: record_births
-- What a birth leaves open stays as a person set it. A birth that says nothing new writes nothing.
INSERT INTO device AS d (name, kind, source, origin, hardware, firmware, properties)
SELECT name, kind, source, 'birth', hardware, firmware, properties::jsonb
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS born (name, kind, source, hardware, firmware, properties)
ORDER BY name
ON CONFLICT (name) DO UPDATE
SET kind = excluded.kind,
    source = excluded.source,
    hardware = coalesce(nullif(excluded.hardware, ''), d.hardware),
    firmware = coalesce(nullif(excluded.firmware, ''), d.firmware),
    properties = excluded.properties
WHERE (d.kind, d.source, d.properties) IS DISTINCT FROM (excluded.kind, excluded.source, excluded.properties)
   OR excluded.hardware NOT IN ('', d.hardware)
   OR excluded.firmware NOT IN ('', d.firmware)

-- name: set_parents
UPDATE device
SET parent_id = parent.id
FROM unnest($1::text[], $2::text[]) AS born (name, parent)
JOIN device AS parent ON parent.name = born.parent
WHERE device.name = born.name AND device.parent_id IS DISTINCT FROM parent.id

-- name: record_deaths
-- $1: who died, and with a node all behind it; $2: who was born after that.
WITH gone AS (
    SELECT device.id
    FROM device
    LEFT JOIN device AS parent ON parent.id = device.parent_id
    WHERE (device.name = ANY ($1::text[]) OR parent.name = ANY ($1::text[]))
      AND device.name <> ALL ($2::text[])
      AND device.status IN ('online', 'stale')
    ORDER BY device.name
    FOR NO KEY UPDATE OF device
)
UPDATE device SET status = 'offline', status_at = $3 FROM gone WHERE device.id = gone.id
RETURNING device.name

-- name: sync_gateways
-- A gateway that left the plant file is not heard any more; what was known of it stays.
WITH gone AS (
    UPDATE device
    SET status = 'offline', status_at = now()
    WHERE origin = 'plant' AND status IN ('online', 'stale')
      AND NOT EXISTS (SELECT FROM gateway WHERE gateway.name = device.name AND gateway.retired_at IS NULL)
)
INSERT INTO device AS d (name, kind, source, origin)
SELECT name, 'gateway', name, 'plant'
FROM gateway
WHERE retired_at IS NULL
ORDER BY name
ON CONFLICT (name) DO UPDATE SET source = excluded.source WHERE d.source = ''

-- name: register
INSERT INTO device (name, kind, title, source, parent_id, credentials, stale_after_s)
VALUES ($1, $2, $3, $4, (SELECT id FROM device WHERE name = $5), $6, $7)
ON CONFLICT (name) DO NOTHING
RETURNING id

-- name: configure
-- null: as it is; a time of 0: never stale
UPDATE device
SET title = coalesce($2, title),
    credentials = coalesce($3, credentials),
    hardware = coalesce($4, hardware),
    firmware = coalesce($5, firmware),
    stale_after_s = CASE WHEN $6::float8 IS NULL THEN stale_after_s ELSE nullif($6, 0) END
WHERE name = $1
RETURNING id

-- name: decommission
WITH meant AS (
    SELECT device.id
    FROM device
    LEFT JOIN device AS parent ON parent.id = device.parent_id
    WHERE (device.name = $1 OR parent.name = $1) AND device.decommissioned_at IS NULL
    ORDER BY device.name
    FOR NO KEY UPDATE OF device
)
UPDATE device SET decommissioned_at = $2, status = 'offline', status_at = $2 FROM meant WHERE device.id = meant.id

-- name: approve
WITH meant AS (
    SELECT device.id
    FROM device
    LEFT JOIN device AS parent ON parent.id = device.parent_id
    WHERE (device.name = $1 OR parent.name = $1)
      AND (device.decommissioned_at IS NOT NULL OR device.status = 'quarantined')
    ORDER BY device.name
    FOR NO KEY UPDATE OF device
)
UPDATE device
SET decommissioned_at = NULL,
    status = CASE device.status WHEN 'quarantined' THEN 'offline' ELSE device.status END,
    status_at = CASE device.status WHEN 'quarantined' THEN $2 ELSE device.status_at END
FROM meant
WHERE device.id = meant.id

-- name: tell_engine
-- An engine at work loads everything anew when this number changes.
UPDATE plant_revision SET revision = revision + 1

-- name: notify
NOTIFY plant_changed

-- name: lose_sight
UPDATE device SET status = 'stale', status_at = $2 WHERE name = ANY ($1::text[]) AND status = 'online'
