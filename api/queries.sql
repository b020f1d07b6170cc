-- name: schema_revision
SELECT version_num FROM alembic_version;

-- name: assets
-- $1 id after which the page begins, $2 rows
SELECT asset.id, asset.name, asset.title, site.name AS site, area.name AS area, parent.name AS parent,
       asset.asset_class, asset.criticality
FROM asset
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
LEFT JOIN asset AS parent ON parent.id = asset.parent_id
WHERE asset.retired_at IS NULL AND asset.id > $1
ORDER BY asset.id
LIMIT $2;

-- name: asset
SELECT asset.id, asset.name, asset.title, site.name AS site, area.name AS area, parent.name AS parent,
       asset.asset_class, asset.criticality, asset.retired_at,
       (SELECT coalesce(array_agg(child.name ORDER BY child.name), '{}') FROM asset AS child
        WHERE child.parent_id = asset.id AND child.retired_at IS NULL) AS children,
       (SELECT coalesce(array_agg(sensor.name ORDER BY sensor.name), '{}') FROM sensor
        WHERE sensor.asset_id = asset.id AND sensor.retired_at IS NULL) AS sensors,
       (SELECT count(*) FROM alarm WHERE alarm.asset_id = asset.id AND alarm.ended_at IS NULL) AS active_alarms,
       (SELECT count(*) FROM work_order
        WHERE work_order.asset_id = asset.id AND status IN ('new', 'assigned', 'in_progress')) AS open_work_orders
FROM asset
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
LEFT JOIN asset AS parent ON parent.id = asset.parent_id
WHERE asset.name = $1;

-- name: asset_id
SELECT id FROM asset WHERE name = $1;

-- name: sensors
-- $1 asset or null, $2 kind or null, $3 id after which the page begins, $4 rows
SELECT sensor.id, sensor.name, sensor.title, asset.name AS asset, sensor.kind, sensor.quantity, sensor.unit,
       sensor.topic, source.name AS computed_from
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
LEFT JOIN sensor AS source ON source.id = sensor.source_id
WHERE sensor.retired_at IS NULL AND ($1::text IS NULL OR asset.name = $1) AND ($2::text IS NULL OR sensor.kind = $2)
  AND sensor.id > $3
ORDER BY sensor.id
LIMIT $4;

-- name: sensor
SELECT sensor.id, sensor.name, sensor.title, asset.name AS asset, sensor.kind, sensor.quantity, sensor.unit,
       sensor.topic, source.name AS computed_from, sensor.retired_at,
       newest.time AS newest_at, newest.value AS newest_value, newest.quality AS newest_quality
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
LEFT JOIN sensor AS source ON source.id = sensor.source_id
LEFT JOIN LATERAL (
    SELECT time, value, quality FROM reading WHERE sensor_id = sensor.id ORDER BY time DESC LIMIT 1
) AS newest ON true
WHERE sensor.name = $1;

-- name: sensors_named
-- $1 asset or null, $2 names or null, $3 id after which the page begins, $4 rows
SELECT sensor.id, sensor.name, asset.name AS asset, sensor.unit
FROM sensor
JOIN asset ON asset.id = sensor.asset_id
WHERE sensor.retired_at IS NULL AND ($1::text IS NULL OR asset.name = $1)
  AND ($2::text[] IS NULL OR sensor.name = ANY ($2)) AND sensor.id > $3
ORDER BY sensor.id
LIMIT $4;

-- name: sensors_by_name
SELECT id, name, kind, unit FROM sensor WHERE name = ANY ($1::text[]);

-- name: readings_oldest_first
SELECT time, value, quality FROM reading
WHERE sensor_id = $1 AND time >= $2 AND time < $3
ORDER BY time
LIMIT $4;

-- name: readings_newest_first
SELECT time, value, quality FROM reading
WHERE sensor_id = $1 AND time >= $2 AND time < $3
ORDER BY time DESC
LIMIT $4;

-- name: alarms
-- $1 active or null, $2 asset or null, $3 and $4 window or null, $5 and $6 (began_at, id) of the page before, $7 rows,
-- $8 states or null, $9 category or null, $10 priorities or null
SELECT alarm.id, alarm.rule_name AS rule, sensor.name AS sensor, asset.name AS asset, alarm.side, alarm.category,
       coalesce(now_is.state, 'normal') AS state, now_is.until AS silent_until, alarm.limit_value, alarm.unit,
       alarm.priority, alarm.failure_mode, alarm.began_at, alarm.ended_at, alarm.annunciated_at,
       alarm.acknowledged_at, alarm.acknowledged_by, alarm.latching, alarm.reset_at, alarm.value, alarm.peak_value,
       alarm.peak_at, alarm.work_order_id
FROM alarm
LEFT JOIN sensor ON sensor.id = alarm.sensor_id
JOIN asset ON asset.id = alarm.asset_id
LEFT JOIN LATERAL (SELECT * FROM alarm_state WHERE alarm_state.alarm_id = alarm.id) now_is ON true
WHERE ($1::boolean IS NULL OR (alarm.ended_at IS NULL) = $1)
  AND ($2::text IS NULL OR asset.name = $2)
  AND ($3::timestamptz IS NULL OR alarm.ended_at IS NULL OR alarm.ended_at > $3)
  AND ($4::timestamptz IS NULL OR alarm.began_at < $4)
  AND ($5::timestamptz IS NULL OR (alarm.began_at, alarm.id) < ($5, $6::bigint))
  AND ($8::text[] IS NULL OR coalesce(now_is.state, 'normal') = ANY ($8))
  AND ($9::text IS NULL OR alarm.category = $9)
  AND ($10::smallint[] IS NULL OR alarm.priority = ANY ($10))
ORDER BY alarm.began_at DESC, alarm.id DESC
LIMIT $7;

-- name: alarms_awake
-- The same where `normal` is not among the states: those alarms alone, out of an index of their own.
SELECT alarm.id, alarm.rule_name AS rule, sensor.name AS sensor, asset.name AS asset, alarm.side, alarm.category,
       now_is.state AS state, now_is.until AS silent_until, alarm.limit_value, alarm.unit,
       alarm.priority, alarm.failure_mode, alarm.began_at, alarm.ended_at, alarm.annunciated_at,
       alarm.acknowledged_at, alarm.acknowledged_by, alarm.latching, alarm.reset_at, alarm.value, alarm.peak_value,
       alarm.peak_at, alarm.work_order_id
FROM alarm_state now_is
JOIN alarm ON alarm.id = now_is.alarm_id
LEFT JOIN sensor ON sensor.id = alarm.sensor_id
JOIN asset ON asset.id = alarm.asset_id
WHERE ($1::boolean IS NULL OR (alarm.ended_at IS NULL) = $1)
  AND ($2::text IS NULL OR asset.name = $2)
  AND ($3::timestamptz IS NULL OR alarm.ended_at IS NULL OR alarm.ended_at > $3)
  AND ($4::timestamptz IS NULL OR alarm.began_at < $4)
  AND ($5::timestamptz IS NULL OR (alarm.began_at, alarm.id) < ($5, $6::bigint))
  AND ($8::text[] IS NULL OR now_is.state = ANY ($8))
  AND ($9::text IS NULL OR alarm.category = $9)
  AND ($10::smallint[] IS NULL OR alarm.priority = ANY ($10))
ORDER BY alarm.began_at DESC, alarm.id DESC
LIMIT $7;

-- name: alarm
SELECT alarm.id, alarm.rule_name AS rule, sensor.name AS sensor, asset.name AS asset, alarm.side, alarm.category,
       coalesce(now_is.state, 'normal') AS state, now_is.until AS silent_until, alarm.limit_value, alarm.unit,
       alarm.priority, alarm.failure_mode, alarm.began_at, alarm.ended_at, alarm.annunciated_at,
       alarm.acknowledged_at, alarm.acknowledged_by, alarm.latching, alarm.reset_at, alarm.value, alarm.peak_value,
       alarm.peak_at, alarm.work_order_id
FROM alarm
LEFT JOIN sensor ON sensor.id = alarm.sensor_id
JOIN asset ON asset.id = alarm.asset_id
LEFT JOIN LATERAL (SELECT * FROM alarm_state WHERE alarm_state.alarm_id = alarm.id) now_is ON true
WHERE alarm.id = $1;

-- name: alarm_events
-- What happened to the alarm, and to its rule while the alarm was not normal.
SELECT event.kind, event.at, event.value, event.actor, event.note
FROM (
    SELECT own.* FROM alarm_event own WHERE own.alarm_id = $1
    UNION ALL
    SELECT around.*
    FROM alarm
    JOIN alarm_event around ON around.rule_id = alarm.rule_id AND around.alarm_id IS NULL
        AND around.at >= alarm.began_at
        AND around.at <= CASE WHEN EXISTS (SELECT FROM alarm_state WHERE alarm_state.alarm_id = alarm.id) THEN 'infinity'
                              ELSE greatest(alarm.ended_at, alarm.acknowledged_at, alarm.reset_at) END
    WHERE alarm.id = $1
) event
ORDER BY event.at, event.id;

-- name: alarm_performance
-- $1 and $2 window or null: the 30 days before its end, which is now
SELECT figure, value, target, verdict
FROM alarm_kpi_summaries(coalesce($1::timestamptz, coalesce($2::timestamptz, now()) - interval '30 days'),
                         coalesce($2, now()))
ORDER BY place;

-- name: work_orders
-- $1 statuses or null, $2 asset or null, $3 and $4 (opened_at, id) of the page before, $5 rows
SELECT work_order.id, asset.name AS asset, work_order.failure_mode, work_order.status, work_order.priority,
       work_order.title, work_order.opened_at, work_order.due_at, work_order.first_seen_at, work_order.last_seen_at,
       work_order.occurrences, work_order.assignee, work_order.external_reference, work_order.closed_at
FROM work_order
JOIN asset ON asset.id = work_order.asset_id
WHERE ($1::text[] IS NULL OR work_order.status = ANY ($1))
  AND ($2::text IS NULL OR asset.name = $2)
  AND ($3::timestamptz IS NULL OR (work_order.opened_at, work_order.id) < ($3, $4::bigint))
ORDER BY work_order.opened_at DESC, work_order.id DESC
LIMIT $5;

-- name: work_order
SELECT work_order.id, asset.name AS asset, work_order.failure_mode, work_order.status, work_order.priority,
       work_order.title, work_order.opened_at, work_order.due_at, work_order.first_seen_at, work_order.last_seen_at,
       work_order.occurrences, work_order.assignee, work_order.external_reference, work_order.closed_at,
       work_order.evidence::text AS evidence, work_order.job_plan::text AS job_plan
FROM work_order
JOIN asset ON asset.id = work_order.asset_id
WHERE work_order.id = $1;

-- name: work_order_events
SELECT from_status, to_status, at, actor, note FROM work_order_event WHERE work_order_id = $1 ORDER BY id;

-- name: ledger
SELECT source, received, stored, duplicate, rejected, rejected_by_reason::text AS rejected_by_reason, balanced
FROM ledger
ORDER BY source;

-- name: rejected
-- $1 source or null, $2 reason or null, $3 and $4 (last_at, id) of the page before, $5 rows
SELECT id, source, topic, reason, detail, payload, payload_bytes, readings, first_at, last_at
FROM rejected
WHERE ($1::text IS NULL OR source = $1) AND ($2::text IS NULL OR reason = $2)
  AND ($3::timestamptz IS NULL OR (last_at, id) < ($3, $4::bigint))
ORDER BY last_at DESC, id DESC
LIMIT $5;
