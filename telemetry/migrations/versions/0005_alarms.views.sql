-- The state of alarms (ISA-18.2), and how well operators can live with them. Definitions: docs/alarms.md.

-- Every alarm that is not normal yet, with the state that `rules.alarm_life.state_of` gives, too. `as_of` is held against
-- shelves and windows alone. until, actor, note: of whoever keeps it silent.
CREATE INDEX alarm_not_normal ON alarm (began_at DESC, id DESC)
    WHERE ended_at IS NULL OR annunciated_at IS NOT NULL AND (acknowledged_at IS NULL OR latching AND reset_at IS NULL);
CREATE FUNCTION alarm_states(as_of timestamptz)
RETURNS TABLE (alarm_id bigint, state text, until timestamptz, actor text, note text)
LANGUAGE sql STABLE AS $$
    SELECT a.id,
           CASE
               WHEN quiet.kind = 'out_of_service' THEN quiet.kind
               WHEN closed.asset_id IS NOT NULL THEN 'maintenance'
               WHEN quiet.kind IS NOT NULL THEN quiet.kind
               WHEN a.ended_at IS NULL AND a.suppressed_by IS NOT NULL THEN 'suppressed'
               WHEN a.ended_at IS NULL AND a.acknowledged_at IS NULL THEN 'unacknowledged'
               WHEN a.ended_at IS NULL THEN 'acknowledged'
               WHEN a.latching AND a.reset_at IS NULL AND a.acknowledged_at IS NULL THEN 'latched_unacknowledged'
               WHEN a.latching AND a.reset_at IS NULL THEN 'latched_acknowledged'
               ELSE 'returned_unacknowledged'
           END,
           CASE WHEN quiet.kind = 'out_of_service' OR closed.asset_id IS NULL THEN quiet.end_at ELSE closed.end_at END,
           CASE WHEN quiet.kind = 'out_of_service' OR closed.asset_id IS NULL THEN quiet.actor ELSE closed.actor END,
           CASE WHEN quiet.kind = 'out_of_service' OR closed.asset_id IS NULL THEN quiet.note ELSE closed.note END
    FROM alarm a
    LEFT JOIN LATERAL (
        SELECT s.kind, s.end_at, s.actor, s.note
        FROM alarm_suppression s
        WHERE s.rule_id = a.rule_id AND coalesce(s.side, a.side) = a.side AND s.begin_at <= as_of
          AND coalesce(least(s.end_at, s.ended_at), 'infinity') > as_of
        ORDER BY s.kind = 'out_of_service' DESC, s.end_at DESC NULLS FIRST
        LIMIT 1
    ) quiet ON true
    LEFT JOIN (
        SELECT DISTINCT ON (w.asset_id) w.*
        FROM assets_in_maintenance(as_of, as_of) w
        ORDER BY w.asset_id, w.end_at DESC
    ) closed ON closed.asset_id = a.asset_id
    WHERE a.ended_at IS NULL
       OR a.annunciated_at IS NOT NULL AND (a.acknowledged_at IS NULL OR a.latching AND a.reset_at IS NULL)
$$;
CREATE VIEW alarm_state AS SELECT * FROM alarm_states(now());

-- Performance -------------------------------------------------------------------------------------------------------
-- Each figure is a function of a range of time, for boards, and a view of the last 30 days, for everything else. Only
-- alarms that people were told of count. `rules.performance` gives the same figures for a backtest.

CREATE INDEX alarm_annunciated ON alarm (annunciated_at);

-- How many people share the alarms.
CREATE TABLE alarm_operators (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    operators smallint NOT NULL DEFAULT 1 CHECK (operators > 0)
);
INSERT INTO alarm_operators DEFAULT VALUES;

-- ISA-18.2-2016, table 16, as quoted in secondary sources: the most that is good, and the most that is tolerable.
CREATE VIEW alarm_kpi_target (place, figure, target, good, tolerable) AS
VALUES (1, 'alarms per operator and day', '150 or less, 300 at most', 150::float8, 300::float8),
       (2, 'alarms per operator and 10 minutes', '1 or less, 2 at most', 1, 2),
       (3, 'most alarms in 10 minutes', '10 or less', 10, 10),
       (4, 'time in flood, %', 'under 1', 1, 1),
       (5, 'chattering alarms', '0', 0, 0),
       (6, 'stale alarms', 'under 5', 4, 4),
       (7, 'load of the ten worst, %', '1 to 5', 5, 5),
       (8, 'high priority, %', 'about 5', 7.5, 10),
       (9, 'medium priority, %', 'about 15', 20, 30);

-- Alarms told in each period of the clock (UTC) that has a part in the range, also where there were none.
CREATE FUNCTION alarm_kpi_rate(since timestamptz, until timestamptz, step interval)
RETURNS TABLE ("time" timestamptz, alarms bigint, per_operator float8)
LANGUAGE sql STABLE AS $$
    SELECT period.at, coalesce(told.alarms, 0), coalesce(told.alarms, 0) / o.operators::float8
    FROM alarm_operators o
    CROSS JOIN generate_series(date_bin(step, since, 'epoch'), until - interval '1 microsecond', step) AS period (at)
    LEFT JOIN (
        SELECT date_bin(step, a.annunciated_at, 'epoch') AS at, count(*) AS alarms
        FROM alarm a
        WHERE a.annunciated_at >= since AND a.annunciated_at < until
        GROUP BY 1
    ) told ON told.at = period.at
$$;
CREATE VIEW alarm_kpi_10m AS SELECT * FROM alarm_kpi_rate(now() - interval '30 days', now(), '10 minutes');
CREATE VIEW alarm_kpi_1h AS SELECT * FROM alarm_kpi_rate(now() - interval '30 days', now(), '1 hour');
CREATE VIEW alarm_kpi_1d AS SELECT * FROM alarm_kpi_rate(now() - interval '30 days', now(), '1 day');

-- Ten-minute periods of the clock with more than ten alarms for one operator; adjoining ones are one flood.
CREATE FUNCTION alarm_kpi_floods(since timestamptz, until timestamptz)
RETURNS TABLE (begin_at timestamptz, end_at timestamptz, alarms bigint, most_in_10_min bigint)
LANGUAGE sql STABLE AS $$
    SELECT min(island.at), max(island.at) + interval '10 minutes', sum(island.alarms)::bigint, max(island.alarms)
    FROM (
        SELECT r."time" AS at, r.alarms,
               r."time" - row_number() OVER (ORDER BY r."time") * interval '10 minutes' AS island
        FROM alarm_kpi_rate(since, until, '10 minutes') r
        WHERE r.per_operator > 10
    ) island
    GROUP BY island.island
$$;
CREATE VIEW alarm_kpi_flood AS SELECT * FROM alarm_kpi_floods(now() - interval '30 days', now());

-- What an operator sees as one alarm that comes again and again: a side of a rule. Chattering: occurrences among three
-- or more that began within a minute; fleeting: over before a minute had passed. Times in seconds, up to `until`.
CREATE FUNCTION alarm_kpi_sources(since timestamptz, until timestamptz)
RETURNS TABLE (place bigint, rule_id int, rule text, subject text, side text, priority smallint, alarms bigint,
               share float8, chattering bigint, fleeting bigint, stale bigint, time_s float8, median_s float8,
               last_at timestamptz)
LANGUAGE sql STABLE AS $$
    SELECT row_number() OVER (ORDER BY source.alarms DESC, source.time_s DESC, r.subject COLLATE "C",
                                       r.name COLLATE "C", source.side),
           source.rule_id, r.name, r.subject, source.side, source.priority, source.alarms,
           source.alarms / sum(source.alarms) OVER ()::float8, source.chattering, source.fleeting, source.stale,
           source.time_s, source.median_s, source.last_at
    FROM (
        SELECT one.rule_id, one.side, max(one.priority) AS priority, count(*) AS alarms,
               count(*) FILTER (WHERE one.third - one.began_at <= interval '1 minute'
                                   OR one.next - one.previous <= interval '1 minute'
                                   OR one.began_at - one.first <= interval '1 minute') AS chattering,
               count(*) FILTER (WHERE one.over AND one.lasted_s < 60) AS fleeting,
               count(*) FILTER (WHERE one.lasted_s > 86400) AS stale,
               sum(one.lasted_s) AS time_s,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY one.lasted_s) AS median_s,
               max(one.began_at) AS last_at
        FROM (
            SELECT a.rule_id, a.side COLLATE "C" AS side, a.priority, a.began_at,
                   a.ended_at IS NOT NULL AND a.ended_at <= until AS over,
                   greatest(date_part('epoch', least(a.ended_at, until) - a.began_at), 0) AS lasted_s,
                   lead(a.began_at, 2) OVER side AS third, lead(a.began_at) OVER side AS next,
                   lag(a.began_at) OVER side AS previous, lag(a.began_at, 2) OVER side AS first
            FROM alarm a
            WHERE a.annunciated_at >= since AND a.annunciated_at < until
            WINDOW side AS (PARTITION BY a.rule_id, a.side COLLATE "C" ORDER BY a.began_at)
        ) one
        GROUP BY one.rule_id, one.side
    ) source
    JOIN rule r ON r.id = source.rule_id
$$;
CREATE VIEW alarm_kpi_source AS SELECT * FROM alarm_kpi_sources(now() - interval '30 days', now());
CREATE VIEW alarm_kpi_top AS SELECT * FROM alarm_kpi_source WHERE place <= 10;
CREATE VIEW alarm_kpi_chattering AS SELECT * FROM alarm_kpi_source WHERE chattering > 0;

-- Alarms that had stood for more than 24 h at some time in the range, both ends included.
CREATE FUNCTION alarm_kpi_stale_alarms(since timestamptz, until timestamptz)
RETURNS TABLE (alarm_id bigint, rule_id int, rule text, subject text, side text, priority smallint,
               began_at timestamptz, ended_at timestamptz, stood_s float8)
LANGUAGE sql STABLE AS $$
    SELECT a.id, a.rule_id, a.rule_name, r.subject, a.side, a.priority, a.began_at, a.ended_at,
           date_part('epoch', least(a.ended_at, until) - a.began_at)
    FROM alarm a
    JOIN rule r ON r.id = a.rule_id
    WHERE a.annunciated_at IS NOT NULL AND a.began_at < until - interval '1 day'
      AND (a.ended_at IS NULL OR a.ended_at >= since AND a.ended_at - a.began_at > interval '1 day')
$$;
CREATE VIEW alarm_kpi_stale AS SELECT * FROM alarm_kpi_stale_alarms(now(), now());

-- Of all alarms told, those of each priority (1 low, 2 medium, 3 high). Shares 0 to 1; null without any alarm.
CREATE FUNCTION alarm_kpi_priorities(since timestamptz, until timestamptz)
RETURNS TABLE (priority smallint, alarms bigint, share float8, target_share float8)
LANGUAGE sql STABLE AS $$
    SELECT p.priority, count(a.id), count(a.id) / nullif(sum(count(a.id)) OVER (), 0)::float8, p.target
    FROM (VALUES (1::smallint, 0.8::float8), (2::smallint, 0.15), (3::smallint, 0.05)) AS p (priority, target)
    LEFT JOIN alarm a ON a.priority = p.priority AND a.annunciated_at >= since AND a.annunciated_at < until
    GROUP BY p.priority, p.target
$$;
CREATE VIEW alarm_kpi_priority AS SELECT * FROM alarm_kpi_priorities(now() - interval '30 days', now());

-- Seconds from telling to acknowledging, by priority. Alarms that were over before anybody could say so count, too.
CREATE FUNCTION alarm_kpi_acknowledgements(since timestamptz, until timestamptz)
RETURNS TABLE (priority smallint, alarms bigint, acknowledged bigint, median_s float8, p95_s float8, longest_s float8)
LANGUAGE sql STABLE AS $$
    SELECT a.priority, count(*), count(took.s), percentile_cont(0.5) WITHIN GROUP (ORDER BY took.s),
           percentile_cont(0.95) WITHIN GROUP (ORDER BY took.s), max(took.s)
    FROM alarm a
    CROSS JOIN LATERAL (
        SELECT CASE WHEN a.acknowledged_by <> 'engine'
                    THEN greatest(date_part('epoch', a.acknowledged_at - a.annunciated_at), 0) END AS s
    ) took
    WHERE a.annunciated_at >= since AND a.annunciated_at < until
    GROUP BY a.priority
$$;
CREATE VIEW alarm_kpi_acknowledgement AS SELECT * FROM alarm_kpi_acknowledgements(now() - interval '30 days', now());

-- Every figure beside its target. Shares of alarms mean nothing over a handful: with at most one alarm a day (and 20 in
-- all) they are good whatever they are.
CREATE FUNCTION alarm_kpi_summaries(since timestamptz, until timestamptz)
RETURNS TABLE (place int, figure text, value float8, target text, verdict text)
LANGUAGE sql STABLE AS $$
    WITH rate AS (
        SELECT coalesce(sum(r.alarms), 0) AS alarms, coalesce(max(r.per_operator), 0) AS most,
               coalesce(avg((r.per_operator > 10)::int), 0) AS flooded
        FROM alarm_kpi_rate(since, until, '10 minutes') r
    ), load AS (
        SELECT count(*) FILTER (WHERE s.chattering > 0) AS chattering,
               coalesce(sum(s.share) FILTER (WHERE s.place <= 10), 0) AS worst
        FROM alarm_kpi_sources(since, until) s
    ), mix AS (
        SELECT coalesce(max(p.share) FILTER (WHERE p.priority = 3), 0) AS high,
               coalesce(max(p.share) FILTER (WHERE p.priority = 2), 0) AS medium
        FROM alarm_kpi_priorities(since, until) p
    ), figures AS (
        SELECT f.place, f.value::float8, f.of_few AND rate.alarms <= greatest(days.days, 20) * o.operators AS few
        FROM alarm_operators o, rate, load, mix,
             LATERAL (SELECT date_part('epoch', until - since) / 86400 AS days) days,
             LATERAL (VALUES
                 (1, rate.alarms / days.days / o.operators, false),
                 (2, rate.alarms / (days.days * 144) / o.operators, false),
                 (3, rate.most, false),
                 (4, rate.flooded * 100, false),
                 (5, load.chattering, false),
                 (6, (SELECT count(*) FROM alarm_kpi_stale_alarms(since, until)), false),
                 (7, load.worst * 100, true),
                 (8, mix.high * 100, true),
                 (9, mix.medium * 100, true)
             ) AS f (place, value, of_few)
    )
    SELECT t.place, t.figure, f.value, t.target,
           CASE
               WHEN f.few OR f.value < t.good OR f.value = t.good AND t.place <> 4 THEN 'good'
               WHEN f.value <= t.tolerable AND t.place <> 4 THEN 'tolerable'
               ELSE 'bad'
           END
    FROM alarm_kpi_target t JOIN figures f USING (place)
$$;
CREATE VIEW alarm_kpi_summary AS SELECT * FROM alarm_kpi_summaries(now() - interval '30 days', now());

-- What a person could do about alarms that are a nuisance, out of the last 24 h; accepting one is shelving it.
-- One a side of a rule, none that is kept silent already. shelve_s null: shelve it for one time, until it is normal.
-- on_delay_s, deadband: what would have kept nine of ten of its occurrences, or of its ways beyond the limit, silent.
CREATE FUNCTION alarm_proposals(as_of timestamptz)
RETURNS TABLE (kind text, rule_id int, rule text, subject text, side text, priority smallint, alarms bigint,
               shelve_s float8, why text, on_delay_s float8, deadband float8, unit text)
LANGUAGE sql STABLE AS $$
    WITH source AS (
        SELECT s.*,
               (SELECT count(*) FROM alarm a
                WHERE a.rule_id = s.rule_id AND a.side = s.side AND a.annunciated_at > as_of - interval '10 minutes'
                  AND a.annunciated_at <= as_of) AS now_in_flood
        FROM alarm_kpi_sources(as_of - interval '1 day', as_of) s
    ), flood AS (
        SELECT count(*) AS alarms, count(*) > 10 * min(o.operators) AS is_on
        FROM alarm_operators o
        JOIN alarm a ON a.annunciated_at > as_of - interval '10 minutes' AND a.annunciated_at <= as_of
    ), found AS (
        SELECT 1 AS place, 'chattering' AS kind, s.rule_id, s.side, s.priority, s.alarms, 28800::float8 AS shelve_s,
               format('raised %s times in 24 h, %s of them three or more within a minute; stands for %s s at median',
                      s.alarms, s.chattering, round(s.median_s::numeric, 1)) AS why
        FROM source s WHERE s.chattering > 0
        UNION ALL
        SELECT 2, 'flood', s.rule_id, s.side, s.priority, s.now_in_flood, 3600,
               format('%s of the %s alarms of the last 10 minutes, of low priority', s.now_in_flood, flood.alarms)
        FROM source s, flood WHERE flood.is_on AND s.priority = 1 AND s.now_in_flood >= 2
        UNION ALL
        SELECT 3, 'fleeting', s.rule_id, s.side, s.priority, s.alarms, 28800,
               format('raised %s times in 24 h, %s of them over within a minute', s.alarms, s.fleeting)
        FROM source s WHERE s.fleeting >= 10
        UNION ALL
        SELECT 4, 'stale', a.rule_id, a.side, max(a.priority), count(*), NULL,
               format('stands since %s, %s h', to_char(min(a.began_at) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'),
                      round((max(a.stood_s) / 3600)::numeric))
        FROM alarm_kpi_stale_alarms(as_of, as_of) a WHERE a.ended_at IS NULL
        GROUP BY a.rule_id, a.side
    ), first AS (
        SELECT DISTINCT ON (f.rule_id, f.side) f.*
        FROM found f
        WHERE NOT EXISTS (
            SELECT FROM alarm_suppression s
            WHERE s.rule_id = f.rule_id AND coalesce(s.side, f.side) = f.side AND s.begin_at <= as_of
              AND coalesce(least(s.end_at, s.ended_at), 'infinity') > as_of)
        ORDER BY f.rule_id, f.side, f.place
    )
    SELECT first.kind, first.rule_id, r.name, r.subject, first.side, first.priority, first.alarms, first.shelve_s,
           first.why, hint.on_delay_s, hint.deadband, r.unit
    FROM first
    JOIN rule r ON r.id = first.rule_id AND r.retired_at IS NULL
    LEFT JOIN LATERAL (
        SELECT ceil(percentile_cont(0.9) WITHIN GROUP (ORDER BY date_part('epoch', a.ended_at - a.began_at)))
                   AS on_delay_s,
               CASE WHEN first.side <> 'condition' THEN
                   percentile_cont(0.9) WITHIN GROUP (ORDER BY abs(a.peak_value - a.limit_value)) END AS deadband
        FROM alarm a
        WHERE a.rule_id = first.rule_id AND a.side = first.side AND a.ended_at IS NOT NULL
          AND a.began_at >= as_of - interval '1 day' AND a.began_at <= as_of
    ) hint ON first.kind <> 'stale'
    ORDER BY first.place, first.alarms DESC, r.subject COLLATE "C", r.name COLLATE "C"
$$;
CREATE VIEW alarm_proposal AS SELECT * FROM alarm_proposals(now());
