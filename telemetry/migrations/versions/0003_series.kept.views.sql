-- Functions of one statement, which the planner takes apart: each aggregate is written once, and always read for one
-- sensor at a time through the index (sensor_id, time). `date_bin` from the epoch: no session's TimeZone moves a bucket,
-- and it takes half the time of `date_trunc` with a zone.

-- float8 raises errors where a result is too large or too small: one wild value must not take everybody's rollup.
-- A sum of values beyond 1e300, or of squares of values beyond 1e150, is infinite.
--
-- `first` and `last` are looked up by their time, two probes a bucket: an array in order of time would need all readings
-- sorted. The probes repeat the bounds, which leave out partitions and chunks when the statement is planned.
CREATE FUNCTION reading_minutes(of_sensor int, begin_at timestamptz, end_at timestamptz)
RETURNS TABLE (
    "time" timestamptz, sensor_id int, count bigint, good_count bigint, usable_count bigint,
    min float8, max float8, sum float8, sum_sq float8, first float8, last float8
)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT m.bucket, of_sensor, m.count, m.good_count, m.usable_count, m.min, m.max, m.sum, m.sum_sq,
           (SELECT r.value FROM reading AS r
            WHERE r.sensor_id = of_sensor AND r.time = m.first_at AND r.time >= begin_at AND r.time < end_at),
           (SELECT r.value FROM reading AS r
            WHERE r.sensor_id = of_sensor AND r.time = m.last_at AND r.time >= begin_at AND r.time < end_at)
    FROM (
        SELECT date_bin('1 minute', r.time, 'epoch') AS bucket,
               count(*) AS count,
               count(*) FILTER (WHERE r.quality = 0) AS good_count,
               count(*) FILTER (WHERE r.quality <= 1) AS usable_count,
               min(r.value) FILTER (WHERE r.quality <= 1) AS min,
               max(r.value) FILTER (WHERE r.quality <= 1) AS max,
               sum(CASE WHEN abs(r.value) > 1e300 THEN sign(r.value) * 'Infinity'::float8 ELSE r.value END)
                   FILTER (WHERE r.quality <= 1) AS sum,
               sum(CASE WHEN abs(r.value) > 1e150 THEN 'Infinity'::float8
                        WHEN abs(r.value) < 1e-150 THEN 0
                        ELSE r.value * r.value END)
                   FILTER (WHERE r.quality <= 1) AS sum_sq,
               min(r.time) FILTER (WHERE r.quality <= 1) AS first_at,
               max(r.time) FILTER (WHERE r.quality <= 1) AS last_at
        FROM reading AS r
        WHERE r.sensor_id = of_sensor AND r.time >= begin_at AND r.time < end_at
        GROUP BY 1
    ) AS m
$$;

CREATE VIEW reading_1m AS
SELECT k.time, k.sensor_id, k.count, k.good_count, k.usable_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
FROM reading_1m_kept AS k
WHERE k.time < (SELECT w.time FROM reading_watermark AS w)
UNION ALL
SELECT m.time, s.id, m.count, m.good_count, m.usable_count, m.min, m.max, m.sum, m.sum_sq, m.first, m.last
FROM reading_watermark AS w
CROSS JOIN sensor AS s
CROSS JOIN LATERAL reading_minutes(s.id, w.time, 'infinity') AS m;

-- Not from the view of the finer rollup: a condition on its time does not reach the readings it counts, and all of those
-- above the watermark would be counted to be thrown away.
CREATE FUNCTION reading_hours(of_sensor int, begin_at timestamptz, end_at timestamptz)
RETURNS TABLE (
    "time" timestamptz, sensor_id int, count bigint, good_count bigint, usable_count bigint,
    min float8, max float8, sum float8, sum_sq float8, first float8, last float8
)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT h.bucket, of_sensor, h.count, h.good_count, h.usable_count, h.min, h.max, h.sum, h.sum_sq,
           h.firsts[1], h.lasts[cardinality(h.lasts)]
    FROM (
        SELECT date_bin('1 hour', m.time, 'epoch') AS bucket,
               sum(m.count)::bigint AS count,
               sum(m.good_count)::bigint AS good_count,
               sum(m.usable_count)::bigint AS usable_count,
               min(m.min) AS min,
               max(m.max) AS max,
               sum(m.sum) AS sum,
               sum(m.sum_sq) AS sum_sq,
               array_agg(m.first ORDER BY m.time) FILTER (WHERE m.first IS NOT NULL) AS firsts,
               array_agg(m.last ORDER BY m.time) FILTER (WHERE m.last IS NOT NULL) AS lasts
        FROM (
            SELECT k.time, k.count, k.good_count, k.usable_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
            FROM reading_1m_kept AS k
            WHERE k.sensor_id = of_sensor AND k.time >= begin_at AND k.time < end_at
              AND k.time < (SELECT w.time FROM reading_watermark AS w)
            UNION ALL
            SELECT l.time, l.count, l.good_count, l.usable_count, l.min, l.max, l.sum, l.sum_sq, l.first, l.last
            FROM reading_watermark AS w
            CROSS JOIN LATERAL reading_minutes(of_sensor, greatest(begin_at, w.time), end_at) AS l
        ) AS m
        GROUP BY 1
    ) AS h
$$;

CREATE VIEW reading_1h AS
SELECT k.time, k.sensor_id, k.count, k.good_count, k.usable_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
FROM reading_1h_kept AS k
WHERE k.time < (SELECT date_bin('1 hour', w.time, 'epoch') FROM reading_watermark AS w)
UNION ALL
SELECT h.time, s.id, h.count, h.good_count, h.usable_count, h.min, h.max, h.sum, h.sum_sq, h.first, h.last
FROM reading_watermark AS w
CROSS JOIN sensor AS s
CROSS JOIN LATERAL reading_hours(s.id, date_bin('1 hour', w.time, 'epoch'), 'infinity') AS h;

CREATE FUNCTION reading_days(of_sensor int, begin_at timestamptz, end_at timestamptz)
RETURNS TABLE (
    "time" timestamptz, sensor_id int, count bigint, good_count bigint, usable_count bigint,
    min float8, max float8, sum float8, sum_sq float8, first float8, last float8
)
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT d.bucket, of_sensor, d.count, d.good_count, d.usable_count, d.min, d.max, d.sum, d.sum_sq,
           d.firsts[1], d.lasts[cardinality(d.lasts)]
    FROM (
        SELECT date_bin('24 hours', h.time, 'epoch') AS bucket,
               sum(h.count)::bigint AS count,
               sum(h.good_count)::bigint AS good_count,
               sum(h.usable_count)::bigint AS usable_count,
               min(h.min) AS min,
               max(h.max) AS max,
               sum(h.sum) AS sum,
               sum(h.sum_sq) AS sum_sq,
               array_agg(h.first ORDER BY h.time) FILTER (WHERE h.first IS NOT NULL) AS firsts,
               array_agg(h.last ORDER BY h.time) FILTER (WHERE h.last IS NOT NULL) AS lasts
        FROM (
            SELECT k.time, k.count, k.good_count, k.usable_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
            FROM reading_1h_kept AS k
            WHERE k.sensor_id = of_sensor AND k.time >= begin_at AND k.time < end_at
              AND k.time < (SELECT date_bin('1 hour', w.time, 'epoch') FROM reading_watermark AS w)
            UNION ALL
            SELECT l.time, l.count, l.good_count, l.usable_count, l.min, l.max, l.sum, l.sum_sq, l.first, l.last
            FROM reading_watermark AS w
            CROSS JOIN LATERAL
                reading_hours(of_sensor, greatest(begin_at, date_bin('1 hour', w.time, 'epoch')), end_at) AS l
        ) AS h
        GROUP BY 1
    ) AS d
$$;

CREATE VIEW reading_1d AS
SELECT k.time, k.sensor_id, k.count, k.good_count, k.usable_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
FROM reading_1d_kept AS k
WHERE k.time < (SELECT date_bin('24 hours', w.time, 'epoch') FROM reading_watermark AS w)
UNION ALL
SELECT d.time, s.id, d.count, d.good_count, d.usable_count, d.min, d.max, d.sum, d.sum_sq, d.first, d.last
FROM reading_watermark AS w
CROSS JOIN sensor AS s
CROSS JOIN LATERAL reading_days(s.id, date_bin('24 hours', w.time, 'epoch'), 'infinity') AS d;
