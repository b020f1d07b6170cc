-- name: plant_revision
SELECT revision FROM plant_revision;

-- name: plant_assets
SELECT asset.id, asset.name, asset.title, asset.parent_id, site.name AS site, area.name AS area,
       asset.asset_class, asset.criticality, asset.machine::text AS machine, asset.detector::text AS detector
FROM asset
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
WHERE asset.retired_at IS NULL
ORDER BY asset.id;

-- name: plant_sensors
SELECT sensor.id, sensor.name, sensor.asset_id, sensor.kind, sensor.quantity, sensor.unit, site.name AS site,
       sensor.topic, sensor.factor, sensor."offset", sensor.codes::text AS codes, sensor.computed, sensor.source_id,
       sensor.detector::text AS detector, sensor.vibration::text AS vibration, sensor.checks::text AS checks
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
WHERE sensor.retired_at IS NULL
ORDER BY sensor.id;

-- name: plant_gateways
SELECT gateway.name, gateway.topic, site.name AS site, gateway.options::text AS options
FROM gateway
JOIN site ON site.id = gateway.site_id
WHERE gateway.retired_at IS NULL
ORDER BY gateway.id;

-- name: plant_subscriptions
SELECT DISTINCT unnest(subscribe) AS topic_filter FROM site WHERE retired_at IS NULL ORDER BY topic_filter;
