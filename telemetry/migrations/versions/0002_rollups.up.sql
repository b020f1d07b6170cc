-- Where the rollups of `reading` stand: telemetry/rollups.py says how these work together ----------------------------

-- Every reading before `time` is in the rollups, or its mark is in `reading_touched`.
CREATE TABLE reading_watermark (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    time timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO reading_watermark DEFAULT VALUES;

-- Readings before `time` have to be marked by the transaction that stores them. Never behind the watermark.
CREATE TABLE reading_fence (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    time timestamptz NOT NULL DEFAULT 'epoch'
);
INSERT INTO reading_fence DEFAULT VALUES;

-- Minutes [begin_at, end_at) of a sensor and hour that have to be counted again, because late readings arrived in them.
CREATE TABLE reading_touched (
    sensor_id int NOT NULL,
    hour timestamptz NOT NULL,
    begin_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    -- the transaction that marked last
    marked bigint NOT NULL DEFAULT pg_current_xact_id()::text::bigint,
    PRIMARY KEY (sensor_id, hour)
);

-- Without it the planner takes each for a table of thousands of rows.
ANALYZE reading_watermark, reading_fence;
