DROP TABLE series_horizon;
DROP TABLE waveform;
UPDATE reading_watermark SET time = 'epoch';
UPDATE reading_fence SET time = 'epoch';
DELETE FROM reading_touched;
