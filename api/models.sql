-- What models say of machines: scores, findings, prognoses, and the models themselves.

-- name: asset_names
SELECT name FROM asset WHERE retired_at IS NULL ORDER BY name;

-- name: computed_sensors
-- $1 asset. Sensors in use that say something of its condition; of a model's, the version that is active.
SELECT sensor.id, sensor.name, sensor.computed, source.name AS source, model.name AS model, model.version
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
LEFT JOIN sensor AS source ON source.id = sensor.source_id
LEFT JOIN model ON sensor.computed = 'model' AND model.state = 'active' AND sensor.name = asset.name || '.' || model.name
WHERE sensor.asset_id = $1 AND sensor.retired_at IS NULL
  AND sensor.computed IN ('score', 'anomaly', 'contribution', 'sensor_fault', 'model', 'remaining_life')
ORDER BY sensor.name;

-- name: last_prognoses
-- $1 asset. The last one of each sensor, failure mode and method: the unique index is walked from one such group to the
-- next, and probed once in each. Groups of the asset as a whole have no sensor, and nothing compares with that; they are
-- in the order of the index only if it is named there.
WITH RECURSIVE of_sensor AS (
    (SELECT sensor_id, failure_mode, method FROM prognosis WHERE asset_id = $1 AND sensor_id IS NOT NULL
     ORDER BY sensor_id, failure_mode, method LIMIT 1)
    UNION ALL
    SELECT next.* FROM of_sensor
    CROSS JOIN LATERAL (
        SELECT p.sensor_id, p.failure_mode, p.method FROM prognosis AS p
        WHERE p.asset_id = $1
          AND (p.sensor_id, p.failure_mode, p.method)
              > (of_sensor.sensor_id, of_sensor.failure_mode, of_sensor.method)
        ORDER BY p.sensor_id, p.failure_mode, p.method LIMIT 1
    ) AS next
), of_asset AS (
    (SELECT failure_mode, method FROM prognosis WHERE asset_id = $1 AND sensor_id IS NULL
     ORDER BY sensor_id, failure_mode, method LIMIT 1)
    UNION ALL
    SELECT next.* FROM of_asset
    CROSS JOIN LATERAL (
        SELECT p.failure_mode, p.method FROM prognosis AS p
        WHERE p.asset_id = $1 AND p.sensor_id IS NULL
          AND (p.failure_mode, p.method) > (of_asset.failure_mode, of_asset.method)
        ORDER BY p.sensor_id, p.failure_mode, p.method LIMIT 1
    ) AS next
), last AS (
    SELECT found.* FROM of_sensor
    CROSS JOIN LATERAL (
        SELECT * FROM prognosis AS p
        WHERE p.asset_id = $1 AND p.sensor_id = of_sensor.sensor_id
          AND p.failure_mode = of_sensor.failure_mode AND p.method = of_sensor.method
        ORDER BY p.made_at DESC LIMIT 1
    ) AS found
    UNION ALL
    SELECT found.* FROM of_asset
    CROSS JOIN LATERAL (
        SELECT * FROM prognosis AS p
        WHERE p.asset_id = $1 AND p.sensor_id IS NULL
          AND p.failure_mode = of_asset.failure_mode AND p.method = of_asset.method
        ORDER BY p.sensor_id DESC, p.made_at DESC LIMIT 1
    ) AS found
)
SELECT sensor.name AS sensor, last.failure_mode, last.method, last.made_at, last.p10_s, last.p50_s, last.p90_s,
       last.reason
FROM last
LEFT JOIN sensor ON sensor.id = last.sensor_id
WHERE last.outcome IS NULL AND sensor.retired_at IS NULL
ORDER BY last.p50_s NULLS LAST, sensor.name, last.failure_mode, last.method;

-- name: prognoses
-- $1 asset or null, $2 settled or null, $3 and $4 window or null, $5 and $6 (made_at, id) of the page before, $7 rows
SELECT prognosis.id, asset.name AS asset, sensor.name AS sensor, sensor.unit, prognosis.failure_mode, prognosis.method,
       model.name AS model, model.version AS model_version, prognosis.made_at, prognosis.p10_s, prognosis.p50_s,
       prognosis.p90_s, prognosis.reason, prognosis.limit_value, prognosis.details::text AS details, prognosis.outcome,
       prognosis.outcome_at
FROM (
    SELECT * FROM prognosis
    WHERE ($1::int IS NULL OR asset_id = $1)
      AND ($2::boolean IS NULL OR (outcome IS NOT NULL) = $2)
      AND ($3::timestamptz IS NULL OR made_at >= $3)
      AND ($4::timestamptz IS NULL OR made_at < $4)
      AND ($5::timestamptz IS NULL OR (made_at, id) < ($5, $6::bigint))
    ORDER BY made_at DESC, id DESC
    LIMIT $7
) AS prognosis
JOIN asset ON asset.id = prognosis.asset_id
LEFT JOIN sensor ON sensor.id = prognosis.sensor_id
LEFT JOIN model ON model.id = prognosis.model_id
ORDER BY prognosis.made_at DESC, prognosis.id DESC;

-- name: models
-- $1 states or null, $2 id before which the page begins, $3 rows. Each as it was when it was last looked at.
SELECT model.id, model.name, model.version, model.task, model.asset_class, model.state, model.trained_at,
       encode(model.sha256, 'hex') AS sha256, model.metadata::text AS metadata,
       watch.end_at AS watched_until, watch.drift::text AS drift, watch.performance::text AS performance
FROM model
LEFT JOIN LATERAL (
    SELECT end_at, drift, performance FROM model_watch WHERE model_id = model.id ORDER BY end_at DESC LIMIT 1
) AS watch ON true
WHERE ($1::text[] IS NULL OR model.state = ANY ($1)) AND model.id < $2
ORDER BY model.id DESC
LIMIT $3;
