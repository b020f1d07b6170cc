-- name: devices
-- $3: the number after which the page begins
SELECT device.id, device.name, device.kind, device.title, device.source, parent.name AS parent, device.origin,
       device.status, device.status_at, device.registered_at, device.last_seen_at, device.clock_offset_s,
       device.hardware, device.firmware, device.properties::text AS properties, device.credentials,
       device.stale_after_s, device.decommissioned_at
FROM device
LEFT JOIN device AS parent ON parent.id = device.parent_id
WHERE ($1::text IS NULL OR device.status = $1)
  AND ($2::text IS NULL OR device.kind = $2)
  AND device.id > $3::bigint
ORDER BY device.id
LIMIT $4
