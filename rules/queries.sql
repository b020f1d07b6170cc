-- name: rules
SELECT rule.id, rule.name, rule.sensor_id, sensor.name AS sensor_name, sensor.asset_id, sensor.unit,
       rule.high, rule.low, rule.deadband, rule.on_delay_s, rule.off_delay_s, rule.priority,
       rule.failure_mode, rule.job_plan, rule.title
FROM rule
JOIN sensor ON sensor.id = rule.sensor_id
WHERE rule.retired_at IS NULL AND sensor.retired_at IS NULL
ORDER BY rule.id;
