-- What the panels ask. Grafana's macros and variables stand in the text; dashboards/macros.py expands them in tests.
-- Columns of table panels are named as a person reads them; series are (time, metric, value), which Grafana
-- turns into one named line each.

-- name: variable_asset
SELECT name FROM asset WHERE retired_at IS NULL ORDER BY name

-- name: variable_sensor
SELECT s.name
FROM sensor s
JOIN asset a ON a.id = s.asset_id
WHERE s.kind = 'measured' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
ORDER BY s.name

-- name: newest_reading
-- One index probe a sensor; max(time) over the whole table would read it.
SELECT extract(epoch FROM max(newest.time)) * 1000 AS "Newest reading"
FROM sensor s
CROSS JOIN LATERAL (
    SELECT r.time FROM reading r WHERE r.sensor_id = s.id ORDER BY r.time DESC LIMIT 1
) AS newest

-- name: readings_stored
SELECT coalesce(sum(stored), 0)::float8 AS "Readings stored" FROM ledger

-- name: readings_unaccounted
SELECT coalesce(sum(abs(received - stored - duplicate - rejected)), 0)::float8 AS "Readings unaccounted for" FROM ledger

-- name: alarms_active_count
SELECT count(*) AS "Active alarms"
FROM alarm al
JOIN asset a ON a.id = al.asset_id
WHERE al.ended_at IS NULL AND a.name IN (${asset:sqlstring})

-- name: work_orders_open_count
SELECT count(*) AS "Open", count(*) FILTER (WHERE w.due_at < now()) AS "Overdue"
FROM work_order w
JOIN asset a ON a.id = w.asset_id
WHERE w.status IN ('new', 'assigned', 'in_progress') AND a.name IN (${asset:sqlstring})

-- name: readings
-- From readings while a bucket is shorter than a minute, else from the widest rollup that is not wider than a bucket:
-- a year is drawn from days. $__interval_ms is a constant to the planner, which leaves the other branches out.
SELECT series.time,
       s.name || CASE WHEN s.unit IN ('', 'dimensionless') THEN '' ELSE ' [' || s.unit || ']' END AS metric,
       series.value
FROM sensor s
CROSS JOIN LATERAL (
    -- date_bin and not the timeGroup macro, which gives a number on plain PostgreSQL and a time on TimescaleDB.
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time,
           sum(piece.sum) / nullif(sum(piece.usable_count), 0) AS value
    FROM (
        SELECT r.time, r.value AS sum, 1 AS usable_count FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.sum, m.usable_count FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.sum, h.usable_count FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.sum, d.usable_count FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.name IN (${sensor:sqlstring})
ORDER BY 1, 2

-- name: reading_limits
SELECT edge.time,
       format('%s %s limit %s', r.name, side.name, side.value)
           || CASE WHEN s.unit IN ('', 'dimensionless') THEN '' ELSE ' [' || s.unit || ']' END AS metric,
       side.value
FROM rule r
JOIN sensor s ON s.id = r.sensor_id
CROSS JOIN LATERAL (
    VALUES ('high-high', r.high_high), ('high', r.high), ('low', r.low), ('low-low', r.low_low)
) AS side (name, value)
CROSS JOIN (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS edge (time)
WHERE r.retired_at IS NULL AND r.kind = 'limit' AND side.value IS NOT NULL AND s.name IN (${sensor:sqlstring})
GROUP BY 1, 2, 3
ORDER BY 1, 2

-- name: scores
-- The highest score of each bucket: an average would hide the moment that raised the alarm. Rollups as for readings.
SELECT series.time, s.name AS metric, series.value
FROM sensor source
JOIN sensor s ON s.source_id = source.id AND right(s.name, 6) = '.score'
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time, max(piece.max) AS value
    FROM (
        SELECT r.time, r.value AS max FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.max FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.max FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.max FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE source.name IN (${sensor:sqlstring})
ORDER BY 1, 2

-- name: score_limits
SELECT edge.time, format('%s %s limit %s', r.name, side.name, side.value) AS metric, side.value
FROM rule r
JOIN sensor s ON s.id = r.sensor_id AND right(s.name, 6) = '.score'
JOIN sensor source ON source.id = s.source_id
CROSS JOIN LATERAL (
    VALUES ('high-high', r.high_high), ('high', r.high), ('low', r.low), ('low-low', r.low_low)
) AS side (name, value)
CROSS JOIN (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS edge (time)
WHERE r.retired_at IS NULL AND r.kind = 'limit' AND side.value IS NOT NULL AND source.name IN (${sensor:sqlstring})
GROUP BY 1, 2, 3
ORDER BY 1, 2

-- name: alarms_active
SELECT al.began_at AS "Began", a.name AS "Asset", s.name AS "Sensor", al.rule_name AS "Rule",
       al.priority AS "Priority", replace(st.state, '_', ' ') AS "State", al.side AS "Side", al.value AS "Value", al.limit_value AS "Limit",
       al.peak_value AS "Peak", al.unit AS "Unit", al.failure_mode AS "Failure mode",
       al.work_order_id AS "Work order"
FROM alarm al
JOIN alarm_state st ON st.alarm_id = al.id
JOIN asset a ON a.id = al.asset_id
LEFT JOIN sensor s ON s.id = al.sensor_id
WHERE al.ended_at IS NULL AND a.name IN (${asset:sqlstring})
ORDER BY al.priority DESC, al.began_at DESC
LIMIT 500

-- name: alarm_timeline
-- Each alarm gives its priority where it begins and 0 where it ends; one that began before the range begins with it.
WITH shown AS (
    SELECT al.rule_name || ': ' || coalesce(s.name, a.name) AS metric,
           greatest(al.began_at, $__timeFrom()::timestamptz) AS began, al.ended_at, al.priority
    FROM alarm al
    JOIN asset a ON a.id = al.asset_id
    LEFT JOIN sensor s ON s.id = al.sensor_id
    WHERE al.began_at <= $__timeTo()::timestamptz
      AND (al.ended_at IS NULL OR al.ended_at >= $__timeFrom()::timestamptz)
      AND a.name IN (${asset:sqlstring})
)
SELECT began AS time, metric, priority::float8 AS value FROM shown
UNION ALL
SELECT ended_at, metric, 0 FROM shown WHERE ended_at <= $__timeTo()::timestamptz
ORDER BY 1, 2, 3

-- name: work_orders_open
SELECT w.id AS "Order", a.name AS "Asset", w.failure_mode AS "Failure mode", w.title AS "Title",
       w.priority AS "Priority", w.status AS "Status", w.opened_at AS "Opened", w.due_at AS "Due",
       w.due_at < now() AS "Overdue", w.occurrences AS "Occurrences", w.last_seen_at AS "Last seen",
       w.assignee AS "Assignee"
FROM work_order w
JOIN asset a ON a.id = w.asset_id
WHERE w.status IN ('new', 'assigned', 'in_progress') AND a.name IN (${asset:sqlstring})
ORDER BY w.due_at, w.priority, w.id
LIMIT 500

-- name: asset_states
-- The worst state of each bucket (stopped 0, running 1, failed 2), so that a short failure shows in a long range;
-- and the state each asset brought into the range.
SELECT time, metric, value
FROM (
    SELECT $__timeFrom()::timestamptz AS time, s.name AS metric, before.value, 0 AS place
    FROM sensor s
    JOIN asset a ON a.id = s.asset_id
    CROSS JOIN LATERAL (
        SELECT r.value
        FROM reading r
        WHERE r.sensor_id = s.id AND r.time < $__timeFrom()::timestamptz
          AND r.quality <= 1 AND r.value IN (0, 1, 2)
        ORDER BY r.time DESC
        LIMIT 1
    ) AS before
    WHERE s.kind = 'state' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
    UNION ALL
    -- date_bin and not the timeGroup macro, which gives a number on plain PostgreSQL and a time on TimescaleDB.
    SELECT greatest(date_bin('$__interval_ms milliseconds', r.time, timestamptz 'epoch'), $__timeFrom()::timestamptz),
           s.name, max(r.value), 1
    FROM sensor s
    JOIN asset a ON a.id = s.asset_id
    JOIN reading r ON r.sensor_id = s.id
    WHERE $__timeFilter(r.time) AND r.quality <= 1 AND r.value IN (0, 1, 2)
      AND s.kind = 'state' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
    GROUP BY 1, 2
) AS states
ORDER BY time, metric, place

-- name: reliability
-- Whole UTC days that overlap the range. Required time is running + failed (EN 15341): stopped is neither up nor down.
SELECT asset AS "Asset", sensor AS "State sensor", running AS "Running", down AS "Down", stopped AS "Stopped",
       failures AS "Failures",
       running / nullif(running + down, 0) AS "Availability",
       nullif(running, 0) / nullif(failures, 0) AS "MTBF",
       down / nullif(failures, 0) AS "MTTR"
FROM (
    SELECT a.name AS asset, s.name AS sensor,
           coalesce(sum(d.seconds) FILTER (WHERE d.state = 1), 0) AS running,
           coalesce(sum(d.seconds) FILTER (WHERE d.state = 2), 0) AS down,
           coalesce(sum(d.seconds) FILTER (WHERE d.state = 0), 0) AS stopped,
           coalesce(sum(d.entries) FILTER (WHERE d.state = 2), 0)::float8 AS failures
    FROM asset_state_1d d
    JOIN asset a ON a.id = d.asset_id
    JOIN sensor s ON s.id = d.sensor_id
    WHERE d.time > $__timeFrom()::timestamptz - interval '1 day' AND d.time <= $__timeTo()::timestamptz
      AND a.name IN (${asset:sqlstring})
    GROUP BY a.name, s.name
) AS per_sensor
ORDER BY down DESC, asset, sensor

-- name: downtime_per_day
SELECT d.time, s.name AS metric, coalesce(sum(d.seconds) FILTER (WHERE d.state = 2), 0) AS value
FROM asset_state_1d d
JOIN asset a ON a.id = d.asset_id
JOIN sensor s ON s.id = d.sensor_id
WHERE d.time > $__timeFrom()::timestamptz - interval '1 day' AND d.time <= $__timeTo()::timestamptz
  AND a.name IN (${asset:sqlstring})
GROUP BY 1, 2
ORDER BY 1, 2

-- name: ledger
SELECT source AS "Source", received::float8 AS "Received", stored::float8 AS "Stored", duplicate::float8 AS "Duplicate",
       rejected::float8 AS "Rejected", balanced AS "Balanced"
FROM ledger
ORDER BY balanced, source

-- name: rejected_by_reason
SELECT entry.source AS "Source", entry.reason AS "Reason", entry.readings::float8 AS "Readings",
       last.at AS "Last", last.topic AS "Topic", last.detail AS "Detail"
FROM ledger_entry entry
LEFT JOIN LATERAL (
    SELECT r.last_at AS at, r.topic, r.detail
    FROM rejected r
    WHERE r.source = entry.source AND r.reason = entry.reason
    ORDER BY r.last_at DESC
    LIMIT 1
) AS last ON true
WHERE entry.outcome = 'rejected'
ORDER BY entry.readings DESC, entry.source, entry.reason
LIMIT 500

-- name: alarm_figures
SELECT figure AS "Figure", value AS "Value", target AS "Target", verdict AS "Verdict"
FROM alarm_kpi_summaries($__timeFrom()::timestamptz, $__timeTo()::timestamptz)
ORDER BY place

-- name: alarm_rate
-- Bars of ten minutes, an hour or a day, whichever is not shorter than a point of the chart.
SELECT rate.time, 'alarms' AS metric,
       rate.per_operator * 600 / extract(epoch FROM bar.step)::float8 AS value
FROM (
    SELECT CASE WHEN $__interval_ms <= 600000 THEN interval '10 minutes'
                WHEN $__interval_ms <= 3600000 THEN interval '1 hour'
                ELSE interval '1 day' END AS step
) AS bar
CROSS JOIN LATERAL alarm_kpi_rate($__timeFrom()::timestamptz, $__timeTo()::timestamptz, bar.step) AS rate
ORDER BY 1

-- name: alarm_flood_limit
SELECT edge.time, 'limit of a flood' AS metric, 10::float8 AS value
FROM (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS edge (time)
ORDER BY 1

-- name: alarm_worst
SELECT rule AS "Rule", subject AS "On", side AS "Side", priority AS "Priority", alarms AS "Alarms", share AS "Share",
       chattering AS "Chattering", fleeting AS "Fleeting", stale AS "Stale", time_s AS "Stood", median_s AS "Median",
       last_at AS "Last"
FROM alarm_kpi_sources($__timeFrom()::timestamptz, $__timeTo()::timestamptz)
WHERE place <= 10
ORDER BY place

-- name: alarm_priorities
SELECT priority AS "Priority", alarms AS "Alarms", share AS "Share", target_share AS "Target"
FROM alarm_kpi_priorities($__timeFrom()::timestamptz, $__timeTo()::timestamptz)
ORDER BY priority

-- name: alarm_acknowledgement
SELECT priority AS "Priority", alarms AS "Alarms", acknowledged AS "Acknowledged", median_s AS "Median",
       p95_s AS "95 %", longest_s AS "Longest"
FROM alarm_kpi_acknowledgements($__timeFrom()::timestamptz, $__timeTo()::timestamptz)
ORDER BY priority

-- name: alarm_floods
SELECT begin_at AS "Begin", end_at AS "End", alarms AS "Alarms", most_in_10_min AS "Most in 10 min"
FROM alarm_kpi_floods($__timeFrom()::timestamptz, $__timeTo()::timestamptz)
ORDER BY begin_at DESC
LIMIT 500

-- name: alarm_stale
SELECT rule AS "Rule", subject AS "On", side AS "Side", priority AS "Priority", began_at AS "Began", stood_s AS "Stood",
       alarm_id AS "Alarm"
FROM alarm_kpi_stale_alarms($__timeTo()::timestamptz, $__timeTo()::timestamptz)
ORDER BY stood_s DESC
LIMIT 500

-- name: alarm_proposals
SELECT kind AS "Nuisance", rule AS "Rule", subject AS "On", side AS "Side", priority AS "Priority", alarms AS "Alarms",
       why AS "Why", shelve_s AS "Shelve for", on_delay_s AS "On-delay", deadband AS "Deadband", unit AS "Unit"
FROM alarm_proposals($__timeTo()::timestamptz)

-- name: condition_anomaly
-- The highest of each bucket, as for scores: by all sensors together, and by active trained models.
SELECT series.time, s.name AS metric, series.value
FROM sensor s
JOIN asset a ON a.id = s.asset_id
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time, max(piece.max) AS value
    FROM (
        SELECT r.time, r.value AS max FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.max FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.max FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.max FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.computed IN ('anomaly', 'model') AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
ORDER BY 1, 2

-- name: condition_limit
-- Every detector measures over its own limit: 1 on every board.
SELECT edge.time, 'limit' AS metric, 1::float8 AS value
FROM (VALUES ($__timeFrom()::timestamptz), ($__timeTo()::timestamptz)) AS edge (time)
ORDER BY 1

-- name: condition_shares
-- Means of each bucket: the shares of a moment are together 1, and so are their means.
SELECT series.time, source.name AS metric, series.value
FROM sensor s
JOIN asset a ON a.id = s.asset_id
JOIN sensor source ON source.id = s.source_id
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time,
           sum(piece.sum) / nullif(sum(piece.usable_count), 0) AS value
    FROM (
        SELECT r.time, r.value AS sum, 1 AS usable_count FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.sum, m.usable_count FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.sum, h.usable_count FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.sum, d.usable_count FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.computed = 'contribution' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
ORDER BY 1, 2

-- name: condition_scores
SELECT series.time, source.name AS metric, series.value
FROM sensor s
JOIN asset a ON a.id = s.asset_id
JOIN sensor source ON source.id = s.source_id
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time, max(piece.max) AS value
    FROM (
        SELECT r.time, r.value AS max FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.max FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.max FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.max FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.computed = 'score' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
ORDER BY 1, 2

-- name: condition_vibration
-- Severity, and the blows of each part of a bearing (a second bearing's are numbered).
SELECT series.time,
       s.name || CASE WHEN s.unit IN ('', 'dimensionless') THEN '' ELSE ' [' || s.unit || ']' END AS metric,
       series.value
FROM sensor s
JOIN asset a ON a.id = s.asset_id
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time,
           sum(piece.sum) / nullif(sum(piece.usable_count), 0) AS value
    FROM (
        SELECT r.time, r.value AS sum, 1 AS usable_count FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.sum, m.usable_count FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.sum, h.usable_count FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.sum, d.usable_count FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.computed ~ '^(velocity_rms|acceleration_rms|(bpfo|bpfi|bsf|ftf)(_[0-9]+)?)$' AND s.retired_at IS NULL
  AND a.name IN (${asset:sqlstring})
ORDER BY 1, 2

-- name: condition_remaining_life
-- The shortest of all trends of each bucket, quantile by quantile: which sensor it is, the table of prognoses says.
SELECT series.time, 'P' || coalesce(substring(s.computed FROM '_p([0-9]+)$'), '50') AS metric, min(series.value) AS value
FROM sensor s
JOIN asset a ON a.id = s.asset_id
CROSS JOIN LATERAL (
    SELECT date_bin('$__interval_ms milliseconds', piece.time, timestamptz 'epoch') AS time, min(piece.min) AS value
    FROM (
        SELECT r.time, r.value AS min FROM reading r
        WHERE r.sensor_id = s.id AND $__timeFilter(r.time) AND r.quality <= 1 AND $__interval_ms < 60000
        UNION ALL
        SELECT m.time, m.min FROM reading_1m m
        WHERE m.sensor_id = s.id AND $__timeFilter(m.time) AND $__interval_ms >= 60000 AND $__interval_ms < 3600000
        UNION ALL
        SELECT h.time, h.min FROM reading_1h h
        WHERE h.sensor_id = s.id AND $__timeFilter(h.time) AND $__interval_ms >= 3600000 AND $__interval_ms < 86400000
        UNION ALL
        SELECT d.time, d.min FROM reading_1d d
        WHERE d.sensor_id = s.id AND $__timeFilter(d.time) AND $__interval_ms >= 86400000
    ) AS piece
    GROUP BY 1
) AS series
WHERE s.computed IN ('remaining_life', 'remaining_life_p10', 'remaining_life_p90') AND s.retired_at IS NULL
  AND a.name IN (${asset:sqlstring})
GROUP BY 1, 2
ORDER BY 1, 2

-- name: condition_sensor_faults
-- As asset states: what each sensor brought into the range, and what was found in it. A finding is told when it changes.
SELECT time, metric, value
FROM (
    SELECT $__timeFrom()::timestamptz AS time, source.name AS metric, before.value, 0 AS place
    FROM sensor s
    JOIN asset a ON a.id = s.asset_id
    JOIN sensor source ON source.id = s.source_id
    CROSS JOIN LATERAL (
        SELECT r.value FROM reading r
        WHERE r.sensor_id = s.id AND r.time < $__timeFrom()::timestamptz
        ORDER BY r.time DESC
        LIMIT 1
    ) AS before
    WHERE s.computed = 'sensor_fault' AND s.retired_at IS NULL AND a.name IN (${asset:sqlstring})
    UNION ALL
    SELECT r.time, source.name, r.value, 1
    FROM sensor s
    JOIN asset a ON a.id = s.asset_id
    JOIN sensor source ON source.id = s.source_id
    JOIN reading r ON r.sensor_id = s.id
    WHERE $__timeFilter(r.time) AND s.computed = 'sensor_fault' AND s.retired_at IS NULL
      AND a.name IN (${asset:sqlstring})
) AS findings
ORDER BY time, metric, place

-- name: condition_prognoses
SELECT p.made_at AS "Made", a.name AS "Asset", s.name AS "Sensor", replace(p.failure_mode, '_', ' ') AS "Failure mode",
       p.method AS "Method", p.p10_s AS "P10", p.p50_s AS "P50", p.p90_s AS "P90", p.reason AS "No answer because",
       p.outcome AS "Outcome", extract(epoch FROM p.outcome_at - p.made_at)::float8 AS "Lasted"
FROM prognosis p
JOIN asset a ON a.id = p.asset_id
LEFT JOIN sensor s ON s.id = p.sensor_id
WHERE $__timeFilter(p.made_at) AND a.name IN (${asset:sqlstring})
ORDER BY p.made_at DESC, p.id DESC
LIMIT 500

-- name: condition_models
SELECT m.name AS "Model", m.version AS "Version", m.state AS "State", m.task AS "Task", m.asset_class AS "Class",
       m.trained_at AS "Trained", watch.end_at AS "Looked at until", watch.drift AS "Drift", watch.alarms AS "Alarms a month"
FROM model m
LEFT JOIN LATERAL (
    SELECT w.end_at, (SELECT max(index.value::float8) FROM jsonb_each_text(w.drift) AS index) AS drift,
           (w.performance ->> 'alarms_per_asset_month')::float8 AS alarms
    FROM model_watch w WHERE w.model_id = m.id ORDER BY w.end_at DESC LIMIT 1
) AS watch ON true
WHERE m.state <> 'retired' AND m.metadata -> 'assets' ?| ARRAY[${asset:sqlstring}]
ORDER BY m.name, m.version DESC
LIMIT 500
