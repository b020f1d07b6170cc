-- Blocks of samples of one sensor, each from one instant on ----------------------------------------------------------

CREATE TABLE waveform (
    -- of the first sample
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    sample_rate_hz float8 NOT NULL CHECK (sample_rate_hz > 0),
    unit text NOT NULL,
    samples int NOT NULL CHECK (samples > 0),
    -- float32 samples, compressed: telemetry/waveforms.py says how
    body bytea NOT NULL,
    PRIMARY KEY (sensor_id, time)
);
-- It is compressed already.
ALTER TABLE waveform ALTER COLUMN body SET STORAGE EXTERNAL;

-- How far back series go: older pieces were thrown away, and nothing is to be made from them again -------------------

CREATE TABLE series_horizon (
    -- a class of series, as settings name it
    class text PRIMARY KEY,
    time timestamptz NOT NULL
);

-- Rollups are counted anew, from the first reading: a column more, and pieces ---------------------------------------

UPDATE reading_watermark SET time = 'epoch';
UPDATE reading_fence SET time = 'epoch';
DELETE FROM reading_touched;
