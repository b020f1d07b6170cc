-- name: lock
SELECT revision FROM plant_revision FOR UPDATE

-- name: count_provisioned
SELECT count(*) FROM sensor WHERE origin <> 'plant'

-- name: add_areas
-- $1: sites; $2: areas; $3: who asks for them.
INSERT INTO area (site_id, name, origin)
SELECT DISTINCT ON (site.id, wanted.area) site.id, wanted.area, wanted.origin
FROM unnest($1::text[], $2::text[], $3::text[]) AS wanted (site, area, origin)
JOIN site ON site.name = wanted.site
ON CONFLICT (site_id, name) DO UPDATE SET retired_at = NULL

-- name: add_assets
-- $1: sites; $2: areas; $3: assets; $4: their classes; $5: who asks for them.
INSERT INTO asset (name, area_id, asset_class, origin)
SELECT DISTINCT ON (wanted.asset) wanted.asset, area.id, wanted.asset_class, wanted.origin
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) AS wanted (site, area, asset, asset_class, origin)
JOIN site ON site.name = wanted.site
JOIN area ON area.site_id = site.id AND area.name = wanted.area
ON CONFLICT (name) DO NOTHING

-- name: add_sensors
-- $1: names; $2: assets; $3: quantities; $4: units; $5: checks; $6: who asks for them. An asset that was taken out of
-- the plant file takes its sensors with it.
INSERT INTO sensor (name, asset_id, quantity, unit, checks, origin)
SELECT wanted.name, asset.id, wanted.quantity, wanted.unit, wanted.checks::jsonb, wanted.origin
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    AS wanted (name, asset, quantity, unit, checks, origin)
JOIN asset ON asset.name = wanted.asset AND asset.retired_at IS NULL
ON CONFLICT (name) DO NOTHING
RETURNING name

-- name: count_revision
UPDATE plant_revision SET revision = revision + 1, applied_at = now()
