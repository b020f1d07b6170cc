-- name: insert_plant
WITH s AS (
    INSERT INTO site (name, title, subscribe) VALUES ('bench', 'Bench', $1::text[]) RETURNING id
), a AS (
    INSERT INTO area (site_id, name) SELECT id, 'bench' FROM s RETURNING id
), g AS (
    INSERT INTO gateway (name, site_id, topic, options)
    SELECT t.name, s.id, t.topic, t.options::jsonb
    FROM s, unnest($2::text[], $5::text[], $6::text[]) AS t (name, topic, options)
), m AS (
    INSERT INTO asset (name, area_id, criticality) SELECT 'bench-asset', id, 1 FROM a RETURNING id
)
INSERT INTO sensor (name, asset_id, topic)
SELECT name, m.id, topic FROM m, unnest($3::text[], $4::text[]) WITH ORDINALITY AS t (name, topic, position)
ORDER BY position

-- name: next_revision
UPDATE plant_revision SET revision = revision + 1

-- name: sensor_ids
SELECT id FROM sensor ORDER BY name

-- name: empty
TRUNCATE reading, ledger_entry, rejected

-- name: empty_kept_rollups
TRUNCATE reading_1m_kept, reading_1h_kept, reading_1d_kept

-- name: forget_marks
TRUNCATE reading_touched

-- name: forget_watermark
UPDATE reading_watermark SET time = 'epoch'

-- name: forget_fence
UPDATE reading_fence SET time = 'epoch'

-- name: count_readings
SELECT count(*) FROM reading WHERE sensor_id IN (SELECT id FROM sensor WHERE kind <> 'derived')
