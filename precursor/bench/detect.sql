-- name: insert_rules
-- Noise crosses the first two now and then and never stays; the third one is for spikes.
INSERT INTO rule (name, sensor_id, subject, asset_id, unit, high, low, deadband, on_delay_s, off_delay_s, priority)
SELECT t.name, s.id, s.name, s.asset_id, s.unit, t.high, t.low, t.deadband, t.on_delay_s, 0, 2
FROM sensor s,
     (VALUES ('bench-high', 29.9, NULL, 1.0, 60.0),
             ('bench-low', NULL, 20.1, 1.0, 60.0),
             ('bench-spike', $1::float8, NULL, 0.0, 0.0)) AS t (name, high, low, deadband, on_delay_s)

-- name: enforce_rules
UPDATE rule SET retired_at = CASE WHEN name = ANY ($1::text[]) THEN NULL ELSE now() END

-- name: forget_evaluation
TRUNCATE alarm, alarm_event, evaluation_journal, evaluation_checkpoint CASCADE
