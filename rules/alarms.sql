-- name: raise_alarms
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
                   began_at, value, peak_value, peak_at)
SELECT key, rule_id, r.name, t.sensor_id, t.asset_id, side, limit_value, unit, t.priority, t.failure_mode,
       began_at, value, peak_value, peak_at
FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::text[], $6::float8[], $7::text[], $8::smallint[],
            $9::text[], $10::timestamptz[], $11::float8[], $12::float8[], $13::timestamptz[])
    AS t (key, rule_id, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
          began_at, value, peak_value, peak_at)
JOIN rule r ON r.id = t.rule_id
ON CONFLICT (key) DO NOTHING
RETURNING id, key

-- name: update_alarms
UPDATE alarm a
SET peak_value = t.peak_value, peak_at = t.peak_at, ended_at = coalesce(a.ended_at, t.ended_at)
FROM unnest($1::text[], $2::float8[], $3::timestamptz[], $4::timestamptz[]) AS t (key, peak_value, peak_at, ended_at)
WHERE a.key = t.key
RETURNING a.id

-- name: add_events
INSERT INTO alarm_event (alarm_id, kind, at, value)
SELECT a.id, t.kind, t.at, t.value
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::float8[]) AS t (key, kind, at, value)
JOIN alarm a ON a.key = t.key
ON CONFLICT (alarm_id, kind, at) DO NOTHING

-- name: end_orphans
-- An alarm whose rule was retired can never clear by itself.
WITH ended AS (
    UPDATE alarm a SET ended_at = greatest(a.began_at, a.peak_at)
    FROM rule r
    WHERE a.rule_id = r.id AND a.ended_at IS NULL AND r.retired_at IS NOT NULL
    RETURNING a.id, a.ended_at
), noted AS (
    INSERT INTO alarm_event (alarm_id, kind, at, note)
    SELECT id, 'cleared', ended_at, 'the rule was taken out of the plant file' FROM ended
    ON CONFLICT DO NOTHING
)
SELECT id FROM ended
