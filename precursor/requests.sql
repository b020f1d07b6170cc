-- What people ask of the evaluation, in the order they asked.

-- name: open_requests
SELECT request.id, request.rule_id, request.at
FROM evaluation_request request
WHERE request.done_at IS NULL
ORDER BY request.id
LIMIT 1000
FOR UPDATE SKIP LOCKED

-- name: settle_requests
WITH settled AS (
    UPDATE evaluation_request SET done_at = now() WHERE id = ANY ($1::bigint[])
    RETURNING rule_id, at, actor, note
)
INSERT INTO alarm_event (rule_id, kind, at, actor, note)
SELECT rule_id, 'reset', at, actor, note FROM settled
