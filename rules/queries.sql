-- name: rules
SELECT rule.id, rule.name, rule.title, rule.subject, rule.sensor_id, rule.asset_id, rule.kind, rule.unit,
       rule.high_high, rule.high, rule.low, rule.low_low, rule.deadband, rule.on_delay_s, rule.off_delay_s,
       rule.latching, rule.priority, rule.critical_priority, rule.failure_mode, rule.job_plan, rule.options,
       rule.watched_since
FROM rule
JOIN asset ON asset.id = rule.asset_id
LEFT JOIN sensor ON sensor.id = rule.sensor_id
WHERE rule.retired_at IS NULL AND asset.retired_at IS NULL AND sensor.retired_at IS NULL
ORDER BY rule.id;

-- name: sensor_ids
SELECT id, name FROM sensor WHERE retired_at IS NULL;

-- name: asset_parents
SELECT id, parent_id FROM asset;
