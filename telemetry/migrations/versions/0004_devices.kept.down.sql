ALTER TABLE reading_1h_kept
    DROP CONSTRAINT reading_1h_kept_pkey,
    ADD CONSTRAINT reading_1h_kept_pkey PRIMARY KEY (sensor_id, time);
ALTER TABLE reading_1d_kept
    DROP CONSTRAINT reading_1d_kept_pkey,
    ADD CONSTRAINT reading_1d_kept_pkey PRIMARY KEY (sensor_id, time);
