-- What people ask of the evaluation, in the order they asked.

-- name: open_requests
SELECT request.id, request.rule_id, request.asset_id, request.at
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
SELECT rule_id, 'reset', at, actor, note FROM settled WHERE rule_id IS NOT NULL

-- name: request_rebaseline
INSERT INTO evaluation_request (kind, asset_id, at, actor, note)
SELECT 'rebaseline', asset.id, $2, $3, $4 FROM asset WHERE asset.name = $1 AND asset.retired_at IS NULL
RETURNING id

-- name: asset_names
SELECT name FROM asset WHERE retired_at IS NULL ORDER BY name
