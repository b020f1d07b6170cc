DROP TABLE reading_touched;
DROP TABLE reading_fence;
DROP TABLE reading_watermark;
