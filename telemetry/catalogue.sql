-- name: catalogue_sensors
-- Retired ones too: their readings are history, and history is what is exported and imported.
WITH RECURSIVE tree AS (
    SELECT id, area_id, ARRAY[name] AS path FROM asset WHERE parent_id IS NULL
    UNION ALL
    SELECT asset.id, asset.area_id, tree.path || asset.name FROM asset JOIN tree ON tree.id = asset.parent_id
)
SELECT sensor.id, sensor.name, sensor.kind, sensor.quantity, sensor.unit, tree.path AS assets, site.name AS site
FROM sensor
JOIN tree ON tree.id = sensor.asset_id
JOIN area ON area.id = tree.area_id
JOIN site ON site.id = area.site_id
ORDER BY sensor.name COLLATE "C"

-- name: catalogue_assets
SELECT name FROM asset ORDER BY name COLLATE "C"
