CREATE VIEW reading_1m AS
SELECT k.time, k.sensor_id, k.count, k.good_count, k.min, k.max, k.sum, k.sum_sq, k.first, k.last
FROM reading_1m_kept AS k
WHERE k.time < (SELECT w.time FROM reading_watermark AS w)
UNION ALL
SELECT m.time, s.id, m.count, m.good_count, m.min, m.max, m.sum, m.sum_sq, m.first, m.last
FROM reading_watermark AS w
CROSS JOIN sensor AS s
CROSS JOIN LATERAL reading_minutes(s.id, w.time, 'infinity') AS m;
