-- name: find_stored
-- Readings of spans: a sensor, first and last time (µs since 1970), at most so many rows. $5 and $6 are the first and
-- the last time of all spans: they leave out partitions and chunks before anything is opened.
-- LIMIT also keeps the planner from a scan of whole partitions: one descent of the index a span.
-- Columns in binary, a value of bytes each: ten thousand records of the driver would take longer than all of this.
SELECT coalesce(string_agg(int4send(span.number::int), ''), '') AS span,
       coalesce(string_agg(timestamptz_send(r.time), ''), '') AS time,
       coalesce(string_agg(float8send(r.value), ''), '') AS value,
       coalesce(string_agg(int2send(r.quality), ''), '') AS quality
FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::bigint[])
    WITH ORDINALITY AS span (sensor_id, begin_us, end_us, rows, number)
CROSS JOIN LATERAL (
    SELECT time, value, quality
    FROM reading
    WHERE sensor_id = span.sensor_id
      AND time >= 'epoch'::timestamptz + span.begin_us * interval '1 microsecond'
      AND time <= 'epoch'::timestamptz + span.end_us * interval '1 microsecond'
      AND time >= $5 AND time <= $6
    ORDER BY time
    LIMIT span.rows
) AS r

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
