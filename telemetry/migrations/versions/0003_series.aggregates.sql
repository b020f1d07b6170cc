-- Rollups as real-time continuous aggregates, each on the finer one. No policies: telemetry/rollups.py refreshes them.

-- float8 raises errors where a result is too large or too small: one wild value must not take everybody's rollup.
-- A sum of values beyond 1e300, or of squares of values beyond 1e150, is infinite.
CREATE MATERIALIZED VIEW reading_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 minute', time) AS time,
       sensor_id,
       count(*) AS count,
       count(*) FILTER (WHERE quality = 0) AS good_count,
       count(*) FILTER (WHERE quality <= 1) AS usable_count,
       min(value) FILTER (WHERE quality <= 1) AS min,
       max(value) FILTER (WHERE quality <= 1) AS max,
       sum(CASE WHEN abs(value) > 1e300 THEN sign(value) * 'Infinity'::float8 ELSE value END)
           FILTER (WHERE quality <= 1) AS sum,
       sum(CASE WHEN abs(value) > 1e150 THEN 'Infinity'::float8
                WHEN abs(value) < 1e-150 THEN 0
                ELSE value * value END)
           FILTER (WHERE quality <= 1) AS sum_sq,
       first(value::float8, time) FILTER (WHERE quality <= 1) AS first,
       last(value::float8, time) FILTER (WHERE quality <= 1) AS last
FROM reading
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW reading_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 hour', time) AS time,
       sensor_id,
       sum(count)::bigint AS count,
       sum(good_count)::bigint AS good_count,
       sum(usable_count)::bigint AS usable_count,
       min(min) AS min,
       max(max) AS max,
       sum(sum) AS sum,
       sum(sum_sq) AS sum_sq,
       first(first, time) FILTER (WHERE first IS NOT NULL) AS first,
       last(last, time) FILTER (WHERE last IS NOT NULL) AS last
FROM reading_1m
GROUP BY 1, 2
WITH NO DATA;

CREATE MATERIALIZED VIEW reading_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
SELECT time_bucket('1 day', time) AS time,
       sensor_id,
       sum(count)::bigint AS count,
       sum(good_count)::bigint AS good_count,
       sum(usable_count)::bigint AS usable_count,
       min(min) AS min,
       max(max) AS max,
       sum(sum) AS sum,
       sum(sum_sq) AS sum_sq,
       first(first, time) FILTER (WHERE first IS NOT NULL) AS first,
       last(last, time) FILTER (WHERE last IS NOT NULL) AS last
FROM reading_1h
GROUP BY 1, 2
WITH NO DATA;
