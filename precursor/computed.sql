-- Readings that another process computed, in the order it handed them over.

-- name: put_computed
INSERT INTO computed_batch (worker, body, readings) VALUES ($1, $2, $3)

-- name: find_computed
SELECT id, body FROM computed_batch ORDER BY id LIMIT $1

-- name: drop_computed
DELETE FROM computed_batch WHERE id = ANY ($1::bigint[])
