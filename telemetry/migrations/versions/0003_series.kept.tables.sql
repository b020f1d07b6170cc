-- Rollups that we keep ourselves: below the watermark rows of a table, from there on counted when somebody asks.

CREATE TABLE reading_1m_kept (
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    count bigint NOT NULL,
    good_count bigint NOT NULL,
    usable_count bigint NOT NULL,
    min float8,
    max float8,
    sum float8,
    sum_sq float8,
    first float8,
    last float8,
    PRIMARY KEY (sensor_id, time)
);
CREATE TABLE reading_1h_kept (LIKE reading_1m_kept INCLUDING ALL);
CREATE TABLE reading_1d_kept (LIKE reading_1m_kept INCLUDING ALL);
