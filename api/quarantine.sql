-- name: held
-- $1, $2: only this name, only of this source; $3: the number after which the page begins
SELECT q.id, q.source, q.name, q.unit, q.readings, q.first_at, q.last_at,
       (SELECT time FROM quarantined_reading WHERE name_id = q.id ORDER BY time LIMIT 1) AS begin,
       (SELECT time FROM quarantined_reading WHERE name_id = q.id ORDER BY time DESC LIMIT 1) AS end,
       sensor.name AS sensor
FROM quarantined_name AS q
LEFT JOIN gateway ON gateway.name = q.source AND gateway.retired_at IS NULL
LEFT JOIN sensor ON sensor.name = coalesce(gateway.options -> 'names' ->> q.name, q.name)
    AND sensor.kind <> 'derived' AND sensor.retired_at IS NULL
WHERE ($1::text IS NULL OR q.name = $1)
  AND ($2::text IS NULL OR q.source = $2)
  AND q.id > $3::bigint
ORDER BY q.id
LIMIT $4
