-- name: read_rebaselines
-- When it was asked to learn anew what is usual for an asset: its repair was verified, or somebody said so.
SELECT asset.name, request.at
FROM evaluation_request request
JOIN asset ON asset.id = request.asset_id
WHERE request.kind = 'rebaseline' AND request.at >= $1::timestamptz AND request.at < $2::timestamptz
ORDER BY request.at, request.id
