-- name: read_findings
SELECT sensor.id, sensor.name, finding, readings, first_at, last_at
FROM sensor_finding
JOIN sensor ON sensor.id = sensor_finding.sensor_id
WHERE sensor.retired_at IS NULL
ORDER BY sensor.name, finding
