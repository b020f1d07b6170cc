-- What people do with alarms. Each row that is changed is locked first: of two at once, the second sees what the first did.

-- name: lock_alarm
SELECT a.id, a.rule_id, a.rule_name, r.subject, a.ended_at IS NULL AS active, a.annunciated_at IS NOT NULL AS told,
       a.acknowledged_at, a.acknowledged_by, a.latching, a.reset_at IS NOT NULL AS reset, r.kind AS rule_kind
FROM alarm a
JOIN rule r ON r.id = a.rule_id
WHERE a.id = $1
FOR UPDATE OF a

-- name: acknowledge
UPDATE alarm SET acknowledged_at = $2, acknowledged_by = $3 WHERE id = $1

-- name: acknowledge_all
-- $1 rule or null, $2 subject or null, $3 asset or null: with all below it; $4 when, $5 who, $6 why
WITH RECURSIVE meant AS (
    SELECT id FROM asset WHERE name = $3
    UNION ALL
    SELECT below.id FROM meant JOIN asset below ON below.parent_id = meant.id
), waiting AS MATERIALIZED (
    SELECT a.id
    FROM alarm a
    JOIN rule r ON r.id = a.rule_id
    WHERE a.annunciated_at IS NOT NULL AND a.acknowledged_at IS NULL
      AND (a.ended_at IS NULL OR a.annunciated_at IS NOT NULL
                                 AND (a.acknowledged_at IS NULL OR a.latching AND a.reset_at IS NULL))
      AND ($1::text IS NULL OR r.name = $1) AND ($2::text IS NULL OR r.subject = $2)
      AND ($3::text IS NULL OR a.asset_id IN (SELECT id FROM meant))
    ORDER BY a.id
    FOR UPDATE OF a
), acknowledged AS (
    UPDATE alarm a SET acknowledged_at = $4, acknowledged_by = $5
    FROM waiting
    WHERE a.id = waiting.id
    RETURNING a.id, a.rule_id
), noted AS (
    INSERT INTO alarm_event (alarm_id, rule_id, kind, at, actor, note)
    SELECT id, rule_id, 'acknowledged', $4, $5, $6 FROM acknowledged
)
SELECT id FROM acknowledged ORDER BY id

-- name: reset
UPDATE alarm SET reset_at = $2 WHERE id = $1

-- name: request_reset
INSERT INTO evaluation_request (kind, rule_id, at, actor, note) VALUES ('reset', $1, $2, $3, $4)

-- name: add_event
INSERT INTO alarm_event (alarm_id, rule_id, kind, at, actor, note) VALUES ($1, $2, $3, $4, $5, $6)

-- name: lock_rule
SELECT r.id, r.retired_at,
       ARRAY(SELECT side FROM (VALUES ('high_high', r.high_high), ('high', r.high), ('low', r.low),
                                      ('low_low', r.low_low)) AS sides (side, value) WHERE value IS NOT NULL) AS sides
FROM rule r
WHERE r.name = $1 AND r.subject = $2
FOR NO KEY UPDATE

-- name: alarm_stands
SELECT EXISTS (
    SELECT FROM alarm a WHERE a.rule_id = $1 AND a.ended_at IS NULL AND coalesce($2, a.side) = a.side)

-- name: expire_shelves
UPDATE alarm_suppression SET ended_at = end_at, ended_by = 'engine'
WHERE rule_id = $1 AND ended_at IS NULL AND end_at <= $2

-- name: silences
-- Open ones, of one kind; $2 rule id or null, $3 its id or null
SELECT s.id, s.kind, s.rule_id, r.name AS rule, r.subject, s.side, s.begin_at, s.end_at, s.one_shot, s.actor, s.note
FROM alarm_suppression s
JOIN rule r ON r.id = s.rule_id
WHERE s.ended_at IS NULL AND s.kind = $1 AND ($2::int IS NULL OR s.rule_id = $2) AND ($3::bigint IS NULL OR s.id = $3)
ORDER BY s.end_at, s.id

-- name: lock_silence
SELECT s.id, s.kind, s.rule_id, r.name AS rule, r.subject, s.side, s.end_at, s.ended_at, s.ended_by
FROM alarm_suppression s
JOIN rule r ON r.id = s.rule_id
WHERE s.id = $1 AND s.kind = $2
FOR UPDATE OF s

-- name: add_silence
INSERT INTO alarm_suppression (kind, rule_id, side, begin_at, end_at, one_shot, actor, note)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING id

-- name: end_silence
UPDATE alarm_suppression SET ended_at = greatest($2, begin_at), ended_by = $3 WHERE id = $1

-- name: asset_id
SELECT id FROM asset WHERE name = $1 AND retired_at IS NULL

-- name: add_window
INSERT INTO maintenance_window (asset_id, begin_at, end_at, actor, note) VALUES ($1, $2, $3, $4, $5) RETURNING id

-- name: lock_window
SELECT w.end_at, w.cancelled_at, w.cancelled_by FROM maintenance_window w WHERE w.id = $1 FOR UPDATE

-- name: cancel_window
UPDATE maintenance_window SET cancelled_at = $2, cancelled_by = $3,
       note = note || CASE WHEN $4 = '' THEN '' ELSE ' (cancelled: ' || $4 || ')' END
WHERE id = $1

-- name: windows
-- $1 asset or null, $2 only those that are not over then, or null, $3 its id or null, $4 id after which the page begins,
-- $5 rows
SELECT w.id, asset.name AS asset, w.begin_at, w.end_at, w.actor, w.note, w.cancelled_at, w.cancelled_by
FROM maintenance_window w
JOIN asset ON asset.id = w.asset_id
WHERE ($1::text IS NULL OR asset.name = $1)
  AND ($2::timestamptz IS NULL OR w.end_at > $2 AND w.cancelled_at IS NULL)
  AND ($3::bigint IS NULL OR w.id = $3) AND w.id > $4
ORDER BY w.id
LIMIT $5

-- name: proposals
SELECT * FROM alarm_proposals($1)

-- name: operators
SELECT operators FROM alarm_operators

-- name: set_operators
UPDATE alarm_operators SET operators = $1
