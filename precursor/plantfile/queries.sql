-- What is stored, by the names a plant file uses; retired rows too, for they may come back.

-- name: lock
SELECT revision FROM plant_revision FOR UPDATE

-- name: read_revision
SELECT revision FROM plant_revision

-- name: count
UPDATE plant_revision SET revision = revision + 1, applied_at = now()

-- name: notify
NOTIFY plant_changed

-- name: read_site
SELECT id, name AS key, retired_at IS NOT NULL AS retired, name, title, subscribe
FROM site

-- name: read_area
SELECT area.id, site.name || '/' || area.name AS key, area.retired_at IS NOT NULL AS retired,
       site.name AS site, area.name, area.title, area.origin
FROM area
JOIN site ON site.id = area.site_id

-- name: read_gateway
SELECT gateway.id, gateway.name AS key, gateway.retired_at IS NOT NULL AS retired,
       gateway.name, site.name AS site, gateway.topic, gateway.options
FROM gateway
JOIN site ON site.id = gateway.site_id

-- name: read_asset
SELECT asset.id, asset.name AS key, asset.retired_at IS NOT NULL AS retired,
       asset.name, asset.title, site.name AS site, area.name AS area, parent.name AS parent,
       asset.asset_class, asset.criticality, asset.machine, asset.detector, asset.origin
FROM asset
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
LEFT JOIN asset AS parent ON parent.id = asset.parent_id

-- name: read_sensor
SELECT sensor.id, sensor.name AS key, sensor.retired_at IS NOT NULL AS retired,
       sensor.name, sensor.title, asset.name AS asset, sensor.kind, sensor.quantity, sensor.unit, sensor.topic,
       sensor.factor, sensor."offset", sensor.codes, sensor.computed, source.name AS source,
       sensor.detector, sensor.vibration, sensor.checks, sensor.origin
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
LEFT JOIN sensor AS source ON source.id = sensor.source_id

-- name: read_job_plan
SELECT id, name AS key, retired_at IS NOT NULL AS retired,
       name, title, tasks, parts, skills, labour_hours, due_within_s
FROM job_plan

-- name: read_rule
SELECT rule.id, rule.name || ' on ' || rule.subject AS key, rule.retired_at IS NOT NULL AS retired,
       rule.name, rule.title, rule.subject, sensor.name AS sensor, asset.name AS asset, rule.kind, rule.unit,
       rule.high_high, rule.high, rule.low, rule.low_low, rule.deadband, rule.on_delay_s, rule.off_delay_s,
       rule.latching, rule.priority, rule.critical_priority, rule.failure_mode, rule.job_plan, rule.options
FROM rule
JOIN asset ON asset.id = rule.asset_id
LEFT JOIN sensor ON sensor.id = rule.sensor_id

-- name: sensors_with_readings
SELECT name FROM sensor
WHERE name = ANY(%(names)s) AND EXISTS (SELECT FROM reading WHERE reading.sensor_id = sensor.id)

-- A row that changes leaves the unique index of topics for a moment, so that two sensors can exchange theirs.

-- name: put_site
INSERT INTO site (name, title, subscribe) VALUES (%(name)s, %(title)s, %(subscribe)s)
ON CONFLICT (name) DO UPDATE SET title = excluded.title, subscribe = excluded.subscribe, retired_at = NULL

-- name: put_area
INSERT INTO area (site_id, name, title) VALUES ((SELECT id FROM site WHERE name = %(site)s), %(name)s, %(title)s)
ON CONFLICT (site_id, name) DO UPDATE SET title = excluded.title, origin = 'plant', retired_at = NULL

-- name: put_gateway
INSERT INTO gateway (name, site_id, topic, options)
VALUES (%(name)s, (SELECT id FROM site WHERE name = %(site)s), %(topic)s, %(options)s)
ON CONFLICT (name) DO UPDATE SET
    site_id = excluded.site_id, topic = excluded.topic, options = excluded.options, retired_at = NULL

-- name: put_asset
INSERT INTO asset (name, title, area_id, parent_id, asset_class, criticality, machine, detector)
VALUES (
    %(name)s, %(title)s,
    (SELECT area.id FROM area JOIN site ON site.id = area.site_id WHERE site.name = %(site)s AND area.name = %(area)s),
    (SELECT id FROM asset WHERE name = %(parent)s),
    %(asset_class)s, %(criticality)s, %(machine)s, %(detector)s
)
ON CONFLICT (name) DO UPDATE SET
    title = excluded.title, area_id = excluded.area_id, parent_id = excluded.parent_id,
    asset_class = excluded.asset_class, criticality = excluded.criticality, machine = excluded.machine,
    detector = excluded.detector, origin = 'plant', retired_at = NULL

-- name: put_sensor
INSERT INTO sensor (
    name, title, asset_id, kind, quantity, unit, topic, factor, "offset", codes, computed, source_id, detector,
    vibration, checks
)
VALUES (
    %(name)s, %(title)s, (SELECT id FROM asset WHERE name = %(asset)s), %(kind)s, %(quantity)s, %(unit)s, %(topic)s,
    %(factor)s, %(offset)s, %(codes)s, %(computed)s, (SELECT id FROM sensor WHERE name = %(source)s), %(detector)s,
    %(vibration)s, %(checks)s
)
ON CONFLICT (name) DO UPDATE SET
    title = excluded.title, asset_id = excluded.asset_id, kind = excluded.kind, quantity = excluded.quantity,
    unit = excluded.unit, topic = excluded.topic, factor = excluded.factor, "offset" = excluded."offset",
    codes = excluded.codes, computed = excluded.computed, source_id = excluded.source_id,
    detector = excluded.detector, vibration = excluded.vibration, checks = excluded.checks, origin = 'plant', retired_at = NULL

-- name: put_job_plan
INSERT INTO job_plan (name, title, tasks, parts, skills, labour_hours, due_within_s)
VALUES (%(name)s, %(title)s, %(tasks)s, %(parts)s, %(skills)s, %(labour_hours)s, %(due_within_s)s)
ON CONFLICT (name) DO UPDATE SET
    title = excluded.title, tasks = excluded.tasks, parts = excluded.parts, skills = excluded.skills,
    labour_hours = excluded.labour_hours, due_within_s = excluded.due_within_s, retired_at = NULL

-- name: put_rule
-- What comes back from retirement watches anew.
INSERT INTO rule (
    name, title, subject, sensor_id, asset_id, kind, unit, high_high, high, low, low_low, deadband, on_delay_s,
    off_delay_s, latching, priority, critical_priority, failure_mode, job_plan, options
)
VALUES (
    %(name)s, %(title)s, %(subject)s, (SELECT id FROM sensor WHERE name = %(sensor)s),
    (SELECT id FROM asset WHERE name = %(asset)s), %(kind)s, %(unit)s, %(high_high)s, %(high)s, %(low)s, %(low_low)s,
    %(deadband)s, %(on_delay_s)s, %(off_delay_s)s, %(latching)s, %(priority)s, %(critical_priority)s,
    %(failure_mode)s, %(job_plan)s, %(options)s
)
ON CONFLICT (name, subject) DO UPDATE SET
    title = excluded.title, sensor_id = excluded.sensor_id, asset_id = excluded.asset_id, kind = excluded.kind,
    unit = excluded.unit, high_high = excluded.high_high, high = excluded.high, low = excluded.low,
    low_low = excluded.low_low, deadband = excluded.deadband, on_delay_s = excluded.on_delay_s,
    off_delay_s = excluded.off_delay_s, latching = excluded.latching, priority = excluded.priority,
    critical_priority = excluded.critical_priority, failure_mode = excluded.failure_mode,
    job_plan = excluded.job_plan, options = excluded.options,
    watched_since = CASE WHEN rule.retired_at IS NULL THEN rule.watched_since ELSE now() END, retired_at = NULL
