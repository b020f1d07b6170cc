-- name: find_rule
SELECT id, kind FROM rule WHERE name = $1 AND subject = $2 AND retired_at IS NULL

-- name: names
SELECT name, subject FROM rule WHERE retired_at IS NULL

-- name: request_reset
INSERT INTO evaluation_request (kind, rule_id, at, actor, note) VALUES ('reset', $1, $2, $3, $4)
