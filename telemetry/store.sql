-- name: create_staging
CREATE TEMP TABLE IF NOT EXISTS reading_staging (
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    value float8 NOT NULL,
    quality smallint NOT NULL,
    position int NOT NULL
) ON COMMIT DELETE ROWS

-- name: find_collisions
-- LIMIT keeps the planner from turning this into a scan of whole partitions: one index probe a staged row.
SELECT s.position, r.value, r.quality
FROM reading_staging s
CROSS JOIN LATERAL (
    SELECT value, quality FROM reading WHERE sensor_id = s.sensor_id AND time = s.time LIMIT 1
) r

-- name: add_to_ledger
INSERT INTO ledger_entry AS l (source, outcome, reason, readings)
SELECT source, outcome, reason, readings
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS t (source, outcome, reason, readings)
-- one lock order for all engines
ORDER BY source, outcome, reason
ON CONFLICT (source, outcome, reason) DO UPDATE SET readings = l.readings + excluded.readings

-- name: add_rejected
INSERT INTO rejected AS r (digest, source, topic, reason, detail, payload, payload_bytes, readings)
SELECT digest, source, topic, reason, detail, payload, payload_bytes, readings
FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::int[], $8::bigint[])
    AS t (digest, source, topic, reason, detail, payload, payload_bytes, readings)
ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET readings = r.readings + excluded.readings, last_at = now()

-- name: read_ledger
SELECT source, received, stored, duplicate, rejected, rejected_by_reason, balanced FROM ledger ORDER BY source

-- name: read_totals
SELECT coalesce(sum(received), 0)::bigint AS received, coalesce(sum(stored), 0)::bigint AS stored,
       coalesce(sum(duplicate), 0)::bigint AS duplicate, coalesce(sum(rejected), 0)::bigint AS rejected
FROM ledger WHERE source <> 'derived'
