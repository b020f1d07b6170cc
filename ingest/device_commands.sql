-- name: request
INSERT INTO device_command (device, metric, value, requested_by)
VALUES ($1, $2, $3::text::jsonb, $4)
RETURNING id, device, metric, value::text AS value, requested_by, requested_at, settled_at, refused

-- name: pending
SELECT id, device, metric, value::text AS value, requested_by, requested_at, settled_at, refused
FROM device_command
WHERE settled_at IS NULL
ORDER BY id
LIMIT 100

-- name: settle
UPDATE device_command SET settled_at = now(), refused = $2 WHERE id = $1

-- name: find
SELECT id, device, metric, value::text AS value, requested_by, requested_at, settled_at, refused
FROM device_command
WHERE id = $1

-- name: list
SELECT id, device, metric, value::text AS value, requested_by, requested_at, settled_at, refused
FROM device_command
WHERE device = $1
ORDER BY id DESC
LIMIT $2
