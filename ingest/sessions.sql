-- name: save_nodes
INSERT INTO sparkplug_node AS n (device_id, bd_seq, seq, born_at)
SELECT device.id, node.bd_seq, node.seq, node.born_at
FROM unnest($1::text[], $2::smallint[], $3::smallint[], $4::timestamptz[]) AS node (name, bd_seq, seq, born_at)
JOIN device ON device.name = node.name
ORDER BY device.name
ON CONFLICT (device_id) DO UPDATE SET bd_seq = excluded.bd_seq, seq = excluded.seq, born_at = excluded.born_at
WHERE (n.bd_seq, n.seq, n.born_at) IS DISTINCT FROM (excluded.bd_seq, excluded.seq, excluded.born_at)

-- name: find_device
-- FOR NO KEY UPDATE: two births of one device, told by two sessions, one after the other
SELECT id FROM device WHERE name = $1 FOR NO KEY UPDATE

-- name: metrics_of
SELECT name, alias, datatype, unit, low, high FROM sparkplug_metric WHERE device_id = $1

-- name: drop_metrics
DELETE FROM sparkplug_metric WHERE device_id = $1 AND name = ANY ($2::text[])

-- name: load_nodes
SELECT device.name AS device, node.bd_seq, node.seq, node.born_at
FROM sparkplug_node AS node
JOIN device ON device.id = node.device_id
ORDER BY device.name

-- name: load_metrics
SELECT device.name AS device, metric.name, metric.alias, metric.datatype, metric.unit, metric.low, metric.high
FROM sparkplug_metric AS metric
JOIN device ON device.id = metric.device_id
ORDER BY metric.device_id, metric.name COLLATE "C"
