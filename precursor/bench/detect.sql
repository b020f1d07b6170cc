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

-- name: insert_detectors
-- $1: how many sensors an asset has; what `detectors: auto` makes, but for the rules.
WITH groups AS (
    SELECT (row_number() OVER (ORDER BY name) - 1) / $1 AS place, id, name, asset_id FROM sensor WHERE kind = 'measured'
), machine AS (
    INSERT INTO asset (name, area_id, criticality, detector)
    SELECT 'bench-machine-' || place, (SELECT area_id FROM asset LIMIT 1), 1,
           jsonb_build_object('kind', 'joint', 'parameters', $3::jsonb, 'sensors', jsonb_agg(name ORDER BY name))
    FROM groups GROUP BY place
    RETURNING id, name
), scored AS (
    UPDATE sensor SET detector = jsonb_build_object('kind', 'auto', 'parameters', $2::jsonb) WHERE kind = 'measured'
)
INSERT INTO sensor (name, asset_id, kind, computed, source_id)
SELECT name || '.' || computed, asset_id, 'derived', computed, id
FROM groups, unnest(ARRAY['score', 'contribution', 'sensor_fault']) AS computed
UNION ALL
SELECT name || '.anomaly', id, 'derived', 'anomaly', NULL FROM machine

-- name: enforce_detectors
-- $1: whether they work.
WITH sensors AS (
    UPDATE sensor SET detector = CASE WHEN $1::boolean THEN jsonb_build_object('kind', 'auto', 'parameters', $2::jsonb) END
    WHERE kind = 'measured'
), faults AS (
    UPDATE sensor SET retired_at = CASE WHEN $1::boolean THEN NULL ELSE now() END WHERE computed = 'sensor_fault'
)
UPDATE asset SET retired_at = CASE WHEN $1::boolean THEN NULL ELSE now() END WHERE name LIKE 'bench-machine-%'

-- name: count_scores
SELECT count(*) FROM reading WHERE sensor_id IN (SELECT id FROM sensor WHERE kind = 'derived')
