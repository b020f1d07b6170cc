DROP TABLE series_horizon;
DROP TABLE waveform;
