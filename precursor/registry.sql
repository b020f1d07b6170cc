-- Models by name, version and state. One of a name is active at most, one is in shadow.

-- name: lock_models
SELECT pg_advisory_xact_lock(hashtext('precursor models'))

-- name: other_task
-- $1: a name; $2: a task. What models of that name are for, where that is another one.
SELECT task FROM model WHERE name = $1 AND task <> $2 LIMIT 1

-- name: add_model
INSERT INTO model (name, version, task, asset_class, state, artefact, sha256, metadata)
VALUES (
    $1, (SELECT coalesce(max(version), 0) + 1 FROM model WHERE name = $1), $2, $3, 'candidate', $4, $5, $6::jsonb
)
RETURNING id, version

-- name: list_models
SELECT model.id, model.name, model.version, model.task, model.asset_class, model.state, model.sha256,
       length(model.artefact) AS bytes, model.metadata::text AS metadata, model.trained_at,
       watch.end_at AS watched_until, watch.drift::text AS drift, watch.performance::text AS performance
FROM model
LEFT JOIN LATERAL (
    SELECT end_at, drift, performance FROM model_watch WHERE model_id = model.id ORDER BY end_at DESC LIMIT 1
) AS watch ON true
WHERE ($1::text IS NULL OR model.name = $1) AND ($2::boolean OR model.state <> 'retired')
ORDER BY model.name, model.version DESC

-- name: find_model
SELECT id, name, version, state FROM model WHERE name = $1 AND version = $2

-- name: model_in_state
SELECT id, name, version, state FROM model WHERE name = $1 AND state = $2

-- name: read_artefact
SELECT artefact, sha256 FROM model WHERE id = $1

-- name: set_state
UPDATE model SET state = $2 WHERE id = $1

-- name: add_event
INSERT INTO model_event (model_id, state_from, state_to, actor, note) VALUES ($1, $2, $3, $4, $5)

-- name: list_events
SELECT model.version, event.at, event.state_from, event.state_to, event.actor, event.note
FROM model_event event
JOIN model ON model.id = event.model_id
WHERE model.name = $1
ORDER BY event.id

-- name: active_before
-- The version that was in use last before the one that is.
SELECT model.id, model.name, model.version, model.state
FROM model_event event
JOIN model ON model.id = event.model_id
WHERE model.name = $1 AND event.state_to = 'retired' AND event.state_from = 'active' AND model.state = 'retired'
ORDER BY event.id DESC
LIMIT 1

-- name: put_watch
INSERT INTO model_watch (model_id, begin_at, end_at, drift, performance) VALUES ($1, $2, $3, $4::jsonb, $5::jsonb)
ON CONFLICT (model_id, end_at) DO UPDATE SET
    begin_at = excluded.begin_at, drift = excluded.drift, performance = excluded.performance, watched_at = now()

-- name: add_outputs
-- $1: assets; $2 to $6: what comes after the name of each, title, quantity, unit, and what it is computed as. The sensors
-- a model writes to, where there are none yet; a retired one comes back.
INSERT INTO sensor (name, title, asset_id, kind, quantity, unit, computed, origin)
SELECT asset.name || '.' || output.name, output.title, asset.id, 'derived', output.quantity, output.unit,
       output.computed, 'model'
FROM asset
CROSS JOIN unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS output (name, title, quantity, unit, computed)
WHERE asset.name = ANY ($1::text[]) AND asset.retired_at IS NULL
ON CONFLICT (name) DO UPDATE SET retired_at = NULL WHERE sensor.origin = 'model' AND sensor.retired_at IS NOT NULL
RETURNING id

-- name: count_revision
UPDATE plant_revision SET revision = revision + 1, applied_at = now()
