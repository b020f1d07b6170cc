-- What tells good time from other time.

-- name: bad_spans
-- When something was wrong with an asset or a part of it: an alarm about the machine stood, an order was open.
WITH RECURSIVE part AS (
    SELECT id FROM asset WHERE id = $1
    UNION ALL
    SELECT asset.id FROM asset JOIN part ON asset.parent_id = part.id
)
SELECT 'an alarm stood' AS why, began_at AS begin_at, coalesce(ended_at, $3) AS end_at
FROM alarm
WHERE asset_id IN (SELECT id FROM part) AND category = 'machine' AND began_at < $3 AND coalesce(ended_at, $3) > $2
UNION ALL
SELECT 'a work order was open', opened_at, coalesce(closed_at, $3)
FROM work_order
WHERE asset_id IN (SELECT id FROM part) AND status <> 'cancelled' AND opened_at < $3 AND coalesce(closed_at, $3) > $2
