-- name: record_findings
-- $1: sensors; $2: findings; $3: readings; $4: now. In one order for all writers, so that they do not wait in a ring.
INSERT INTO sensor_finding AS known (sensor_id, finding, readings, first_at, last_at)
SELECT sensor_id, finding, readings, $4::timestamptz, $4::timestamptz
FROM unnest($1::int[], $2::text[], $3::bigint[]) AS found (sensor_id, finding, readings)
ORDER BY sensor_id, finding
ON CONFLICT (sensor_id, finding) DO UPDATE
SET readings = known.readings + excluded.readings, last_at = greatest(known.last_at, excluded.last_at)
