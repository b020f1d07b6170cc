-- Who is told of an alarm is decided by event time: nobody, while it is shelved, out of service, in a maintenance window
-- of its asset or of one above it (`assets_in_maintenance`), or while another alarm stands for it.

-- name: raise_alarms
-- $16: the key of the alarm that stands for it from its first instant on, or null; $17 and $18: the first and the last
-- of `began_at`; $19: who began before is news no more, null: none is. `at` is when people are told, null: not yet; where
-- somebody wanted it so, an event says who and why.
WITH silence AS MATERIALIZED (
    SELECT * FROM assets_in_maintenance($17, $18)
), asked AS (
    SELECT t.*, r.name AS rule_name, quiet.kind, quiet.actor, quiet.note
    FROM unnest($1::text[], $2::int[], $3::int[], $4::int[], $5::text[], $6::float8[], $7::text[], $8::smallint[],
                $9::text[], $10::timestamptz[], $11::float8[], $12::float8[], $13::timestamptz[], $14::text[],
                $15::boolean[], $16::text[]) WITH ORDINALITY
        AS t (key, rule_id, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode, began_at, value,
              peak_value, peak_at, category, latching, suppressed_by, number)
    JOIN rule r ON r.id = t.rule_id
    LEFT JOIN LATERAL (
        SELECT s.kind, s.actor, s.note, CASE s.kind WHEN 'out_of_service' THEN 1 ELSE 3 END AS place
        FROM alarm_suppression s
        WHERE s.rule_id = t.rule_id AND coalesce(s.side, t.side) = t.side AND s.begin_at <= t.began_at
          AND coalesce(least(s.end_at, s.ended_at), 'infinity') > t.began_at
        UNION ALL
        SELECT 'maintenance', s.actor, s.note, 2
        FROM silence s
        WHERE s.asset_id = t.asset_id AND s.begin_at <= t.began_at AND s.end_at > t.began_at
        ORDER BY place
        LIMIT 1
    ) quiet ON true
), raised AS (
    INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
                       began_at, value, peak_value, peak_at, category, latching, suppressed_by, annunciated_at)
    SELECT key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
           began_at, value, peak_value, peak_at, category, latching, suppressed_by,
           CASE WHEN kind IS NULL AND suppressed_by IS NULL AND began_at >= coalesce($19::timestamptz, '-infinity')
                THEN began_at END
    FROM asked
    ORDER BY number
    ON CONFLICT (key) DO NOTHING
    RETURNING id, key, annunciated_at
), noted AS (
    INSERT INTO alarm_event (alarm_id, rule_id, kind, at, actor, note)
    SELECT raised.id, asked.rule_id, asked.kind, asked.began_at, asked.actor, asked.note
    FROM raised JOIN asked USING (key)
    WHERE asked.kind IS NOT NULL
)
SELECT id, key, annunciated_at AS at FROM raised

-- name: update_alarms
UPDATE alarm a
SET peak_value = t.peak_value, peak_at = t.peak_at, ended_at = coalesce(a.ended_at, t.ended_at)
FROM unnest($1::text[], $2::float8[], $3::timestamptz[], $4::timestamptz[]) AS t (key, peak_value, peak_at, ended_at)
WHERE a.key = t.key
RETURNING a.id

-- name: suppress_alarms
-- $2: keys of the alarms that stand for them; null: nothing does any more
UPDATE alarm a
SET suppressed_by = t.suppressed_by
FROM unnest($1::text[], $2::text[]) AS t (key, suppressed_by)
WHERE a.key = t.key AND a.suppressed_by IS DISTINCT FROM t.suppressed_by

-- name: tell_unsuppressed
-- Nothing stands for these alarms any more since $2: people are told, unless they themselves wanted it otherwise.
WITH silence AS MATERIALIZED (
    SELECT * FROM assets_in_maintenance($3, $4)
)
UPDATE alarm a
SET annunciated_at = t.at
FROM unnest($1::text[], $2::timestamptz[]) AS t (key, at)
WHERE a.key = t.key AND a.annunciated_at IS NULL
  AND NOT EXISTS (
      SELECT FROM alarm_suppression s
      WHERE s.rule_id = a.rule_id AND coalesce(s.side, a.side) = a.side AND s.begin_at <= t.at
        AND coalesce(least(s.end_at, s.ended_at), 'infinity') > t.at)
  AND NOT EXISTS (
      SELECT FROM silence s WHERE s.asset_id = a.asset_id AND s.begin_at <= t.at AND s.end_at > t.at)
RETURNING a.id, a.key, a.annunciated_at AS at

-- name: add_events
INSERT INTO alarm_event (alarm_id, rule_id, kind, at, value, note)
SELECT a.id, a.rule_id, t.kind, t.at, t.value, t.note
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::float8[], $5::text[]) AS t (key, kind, at, value, note)
JOIN alarm a ON a.key = t.key
ON CONFLICT (alarm_id, kind, at) DO NOTHING

-- name: annunciate_due
-- $1 now. Ends shelves that are over, and tells people of alarms that stand with nothing to keep them silent any more.
-- One statement: of shelves it ends itself, the alarms can tell by their times.
WITH over AS (
    UPDATE alarm_suppression s
    SET ended_at = greatest(least(s.end_at, $1), s.begin_at), ended_by = 'engine'
    WHERE s.ended_at IS NULL AND s.kind = 'shelved'
      AND (s.end_at <= $1
           OR s.one_shot AND NOT EXISTS (
               SELECT FROM alarm a
               WHERE a.rule_id = s.rule_id AND a.ended_at IS NULL AND coalesce(s.side, a.side) = a.side))
    RETURNING s.rule_id, s.ended_at, s.side, s.end_at <= $1 AS timed
), over_noted AS (
    INSERT INTO alarm_event (rule_id, kind, at, note)
    SELECT rule_id, 'unshelved', ended_at,
           CASE WHEN timed THEN 'its time is over' ELSE 'the alarm it was for is over' END
               || coalesce(' (' || side || ')', '')
    FROM over
), told AS (
    UPDATE alarm a
    SET annunciated_at = greatest($1, a.began_at)
    WHERE a.ended_at IS NULL AND a.annunciated_at IS NULL AND a.suppressed_by IS NULL
      AND NOT EXISTS (
          SELECT FROM alarm_suppression s
          WHERE s.rule_id = a.rule_id AND coalesce(s.side, a.side) = a.side AND s.begin_at <= $1
            AND coalesce(least(s.end_at, s.ended_at), 'infinity') > $1)
      AND NOT EXISTS (SELECT FROM assets_in_maintenance($1, $1) s WHERE s.asset_id = a.asset_id)
    RETURNING a.*
), told_noted AS (
    INSERT INTO alarm_event (alarm_id, rule_id, kind, at, note)
    SELECT id, rule_id, 'annunciated', annunciated_at, 'what kept it silent is over, and it still stands' FROM told
    ON CONFLICT (alarm_id, kind, at) DO NOTHING
)
SELECT id, key, rule_id, side, limit_value, began_at, value, peak_value, peak_at, annunciated_at
FROM told
ORDER BY began_at, key

-- name: end_orphans
-- An alarm whose rule was retired, or has this limit no more, can never clear by itself.
WITH ended AS (
    UPDATE alarm a SET ended_at = greatest(a.began_at, a.peak_at)
    FROM rule r
    WHERE a.rule_id = r.id AND a.ended_at IS NULL
      AND (r.retired_at IS NOT NULL
           OR CASE a.side WHEN 'high_high' THEN r.high_high IS NULL WHEN 'high' THEN r.high IS NULL
                          WHEN 'low' THEN r.low IS NULL WHEN 'low_low' THEN r.low_low IS NULL
                          ELSE num_nonnulls(r.high_high, r.high, r.low, r.low_low) > 0 END)
    RETURNING a.id, a.rule_id, a.ended_at, r.retired_at
), noted AS (
    INSERT INTO alarm_event (alarm_id, rule_id, kind, at, note)
    SELECT id, rule_id, 'cleared', ended_at,
           CASE WHEN retired_at IS NULL THEN 'the rule has this limit no more'
                ELSE 'the rule was taken out of the plant file' END
    FROM ended
    ON CONFLICT DO NOTHING
)
SELECT id FROM ended
