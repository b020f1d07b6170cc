-- A year of means of one sensor is in 8,760 places of the table, for hours are written for all sensors together, and in
-- sixty of the index, if that has what means are made of. Hours and days are hardly ever changed once they are written.
ALTER TABLE reading_1h_kept
    DROP CONSTRAINT reading_1h_kept_pkey,
    ADD CONSTRAINT reading_1h_kept_pkey PRIMARY KEY (sensor_id, time) INCLUDE (sum, usable_count);
ALTER TABLE reading_1d_kept
    DROP CONSTRAINT reading_1d_kept_pkey,
    ADD CONSTRAINT reading_1d_kept_pkey PRIMARY KEY (sensor_id, time) INCLUDE (sum, usable_count);
