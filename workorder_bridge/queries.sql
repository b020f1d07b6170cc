-- Times inside JSON are written with to_char in UTC, so that a session's TimeZone never shows in stored evidence.

-- name: open_orders
-- One open order for each asset and failure mode asked for, made or found. Either way its row is locked until COMMIT,
-- so that a second engine waits here and then sees our alarms. Sorted, so that two engines never wait for each other.
-- A new order is recognised by its 0 occurrences; `merge_alarms` counts them in the same transaction.
WITH request AS (
    SELECT r.*
    FROM unnest($1::bigint[], $2::text[], $3::int[], $4::text[], $5::text[], $6::smallint[],
                $7::timestamptz[], $8::timestamptz[])
        AS r (alarm_id, alarm_key, asset_id, failure_mode, title, priority, opened_at, due_at)
    JOIN alarm a ON a.id = r.alarm_id
    WHERE a.work_order_id IS NULL
), earliest AS (
    SELECT DISTINCT ON (asset_id, failure_mode) *
    FROM request
    ORDER BY asset_id, failure_mode, opened_at, alarm_key COLLATE "C"
)
INSERT INTO work_order (asset_id, failure_mode, priority, title, opened_at, due_at, first_seen_at, last_seen_at,
                        occurrences)
SELECT asset_id, failure_mode, priority, title, opened_at, due_at, opened_at, opened_at, 0
FROM earliest
ORDER BY asset_id, failure_mode
ON CONFLICT (asset_id, failure_mode) WHERE status IN ('new', 'assigned', 'in_progress')
    DO UPDATE SET occurrences = work_order.occurrences
RETURNING id, asset_id, failure_mode, occurrences = 0 AS created

-- name: link_alarms
UPDATE alarm a
SET work_order_id = t.work_order_id
FROM unnest($1::bigint[], $2::bigint[]) AS t (alarm_id, work_order_id)
WHERE a.id = t.alarm_id AND a.work_order_id IS NULL
RETURNING a.id

-- name: merge_requests
-- Each field is a minimum over all requests ever merged, so it does not matter in which order they came.
-- The title is the earliest alarm's: the stored one stays unless that alarm is among these requests.
-- Of several job plans the one that wants to be done soonest holds.
WITH request AS (
    SELECT *
    FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::smallint[], $5::timestamptz[], $6::text[])
        AS r (work_order_id, alarm_id, title, priority, due_at, job_plan)
), merged AS (
    SELECT old.id, old.priority AS old_priority, old.due_at AS old_due_at,
           least(old.priority, asked.priority) AS priority,
           least(old.due_at, asked.due_at) AS due_at,
           coalesce(first.title, old.title) AS title,
           plan.body AS job_plan
    FROM work_order old
    JOIN (SELECT work_order_id, min(priority) AS priority, min(due_at) AS due_at FROM request GROUP BY 1) asked
        ON asked.work_order_id = old.id
    CROSS JOIN LATERAL (
        SELECT a.id FROM alarm a WHERE a.work_order_id = old.id ORDER BY a.began_at, a.key COLLATE "C" LIMIT 1
    ) earliest
    LEFT JOIN request first ON first.alarm_id = earliest.id
    LEFT JOIN LATERAL (
        SELECT p.body
        FROM (SELECT old.job_plan UNION ALL
              SELECT r.job_plan::jsonb FROM request r WHERE r.work_order_id = old.id) AS p (body)
        WHERE p.body IS NOT NULL
        ORDER BY (p.body ->> 'due_within_s')::float8, p.body ->> 'name' COLLATE "C", p.body::text COLLATE "C"
        LIMIT 1
    ) plan ON true
)
UPDATE work_order w
SET priority = m.priority, due_at = m.due_at, title = m.title, job_plan = m.job_plan
FROM merged m
WHERE w.id = m.id
RETURNING w.id, w.priority, w.title, w.due_at,
          (m.old_priority, m.old_due_at) IS DISTINCT FROM (m.priority, m.due_at) AS urgency_changed

-- name: lock_orders_of_alarms
-- Orders that still take evidence; a verified, closed or cancelled one stays as it was signed.
SELECT w.id
FROM work_order w
WHERE w.id IN (SELECT a.work_order_id FROM alarm a WHERE a.id = ANY ($1::bigint[]))
  AND w.status IN ('new', 'assigned', 'in_progress', 'completed')
ORDER BY w.id
FOR UPDATE

-- name: merge_alarms
-- $1 orders, locked by the caller; $2 how many alarms the evidence shows, from the first on.
UPDATE work_order w
SET opened_at = seen.first_at, first_seen_at = seen.first_at, last_seen_at = seen.last_at,
    occurrences = seen.occurrences, evidence = shown.evidence
FROM (
    SELECT a.work_order_id, min(a.began_at) AS first_at, count(*)::int AS occurrences,
           max(greatest(a.began_at, a.peak_at, a.ended_at)) AS last_at
    FROM alarm a
    WHERE a.work_order_id = ANY ($1::bigint[])
    GROUP BY a.work_order_id
) seen
CROSS JOIN LATERAL (
    SELECT jsonb_agg(
        jsonb_build_object(
            'alarm', f.key, 'rule', f.rule_name, 'sensor', s.name, 'asset', asset.name, 'side', f.side,
            'category', f.category, 'value', f.value,
            'limit', f.limit_value, 'unit', f.unit,
            'began_at', to_char(f.began_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'ended_at', to_char(f.ended_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'peak_value', f.peak_value,
            'peak_at', to_char(f.peak_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            'priority', (ARRAY['low', 'medium', 'high'])[f.priority]
        ) ORDER BY f.began_at, f.key COLLATE "C") AS evidence
    FROM (
        SELECT * FROM alarm a WHERE a.work_order_id = seen.work_order_id
        ORDER BY a.began_at, a.key COLLATE "C" LIMIT $2
    ) f
    JOIN asset ON asset.id = f.asset_id
    LEFT JOIN sensor s ON s.id = f.sensor_id
) shown
WHERE w.id = seen.work_order_id

-- name: note_openings
INSERT INTO work_order_event (work_order_id, from_status, to_status, at, actor)
SELECT w.id, NULL, 'new', w.opened_at, 'engine' FROM work_order w WHERE w.id = ANY ($1::bigint[]) ORDER BY w.id

-- name: move_openings
-- An alarm that came late but began earlier moves the opening of its order.
UPDATE work_order_event e
SET at = w.opened_at
FROM work_order w
WHERE w.id = ANY ($1::bigint[]) AND e.work_order_id = w.id AND e.from_status IS NULL AND e.at <> w.opened_at

-- name: lock_order
SELECT w.status, w.assignee,
       (SELECT other.id FROM work_order other
        WHERE other.asset_id = w.asset_id AND other.failure_mode = w.failure_mode AND other.id <> w.id
          AND other.status IN ('new', 'assigned', 'in_progress')) AS other_open
FROM work_order w
WHERE w.id = $1
FOR UPDATE OF w

-- name: set_status
UPDATE work_order SET status = $2, assignee = $3, closed_at = $4 WHERE id = $1

-- name: add_event
INSERT INTO work_order_event (work_order_id, from_status, to_status, at, actor, note)
VALUES ($1, $2, $3, $4, $5, $6)

-- name: add_outbox
-- $1 orders, $2 event, $3 what happened (JSON; null: the opening itself). The body is the whole order as it now
-- stands, so that a receiver needs no second call.
INSERT INTO outbox (work_order_id, event, body)
SELECT w.id, $2, jsonb_build_object(
    'work_order', jsonb_build_object(
        'id', w.id,
        'dedupe_key', asset.name || '/' || w.failure_mode,
        'status', w.status,
        'priority', w.priority,
        'title', w.title,
        'failure_mode', w.failure_mode,
        'detected_by', 'condition monitoring',
        'severity', (SELECT (ARRAY['low', 'medium', 'high'])[max(a.priority)] FROM alarm a
                     WHERE a.work_order_id = w.id),
        'opened_at', to_char(w.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'due_at', to_char(w.due_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'first_seen_at', to_char(w.first_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'last_seen_at', to_char(w.last_seen_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'occurrences', w.occurrences,
        'evidence', w.evidence,
        'job_plan', w.job_plan,
        'assignee', w.assignee,
        'external_reference', w.external_reference
    ),
    'asset', jsonb_build_object(
        'name', asset.name, 'title', asset.title, 'class', asset.asset_class,
        'criticality', asset.criticality, 'area', area.name, 'site', site.name
    ),
    'change', coalesce($3::text::jsonb, jsonb_build_object(
        'from_status', NULL, 'to_status', 'new', 'actor', 'engine', 'note', '',
        'at', to_char(w.opened_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    ))
)
FROM work_order w
JOIN asset ON asset.id = w.asset_id
JOIN area ON area.id = asset.area_id
JOIN site ON site.id = area.site_id
WHERE w.id = ANY ($1::bigint[])
ORDER BY w.id

-- name: claim_event
-- The oldest due event that no earlier, undelivered event of its order holds back. The claim is a lease, not a lock:
-- nothing is held open while a connector waits for somebody's server, and a courier that dies only lets it run out.
UPDATE outbox
SET attempts = attempts + 1, next_attempt_at = $2
WHERE id = (
    SELECT o.id
    FROM outbox o
    WHERE o.delivered_at IS NULL AND o.next_attempt_at <= $1
      AND NOT EXISTS (
          SELECT FROM outbox earlier
          WHERE earlier.work_order_id = o.work_order_id AND earlier.id < o.id AND earlier.delivered_at IS NULL
      )
    ORDER BY o.id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, work_order_id, event, body::text AS body, created_at, attempts

-- name: settle_delivered
UPDATE outbox SET delivered_at = $2, last_error = NULL WHERE id = $1 AND delivered_at IS NULL

-- name: settle_failed
-- `attempts` names the claim: an outcome that comes after the lease ran out must not undo a later courier's.
UPDATE outbox SET next_attempt_at = $3, last_error = $4 WHERE id = $1 AND attempts = $2 AND delivered_at IS NULL

-- name: list_orders
-- $1: closed and cancelled ones too
SELECT w.id, a.name AS asset, w.failure_mode, w.title, w.status, w.priority, w.opened_at, w.due_at, w.occurrences,
       w.assignee, w.evidence, w.job_plan
FROM work_order w
JOIN asset a ON a.id = w.asset_id
WHERE $1::boolean OR w.status NOT IN ('closed', 'cancelled')
ORDER BY w.priority, w.due_at, w.id

-- name: request_resets
-- What rules of usage count begins anew with the work that was done for it.
INSERT INTO evaluation_request (kind, rule_id, at, actor, note)
SELECT 'reset', rule.id, $2, $3, 'work order ' || w.id || ' completed'
FROM work_order w
JOIN rule ON rule.asset_id = w.asset_id AND rule.failure_mode = w.failure_mode
WHERE w.id = $1 AND rule.kind = 'usage' AND rule.retired_at IS NULL

-- name: request_rebaseline
-- A repaired machine is another one: detectors learn anew what is usual for it.
INSERT INTO evaluation_request (kind, asset_id, at, actor, note)
SELECT 'rebaseline', w.asset_id, $2, $3, 'work order ' || w.id || ' verified'
FROM work_order w
WHERE w.id = $1
