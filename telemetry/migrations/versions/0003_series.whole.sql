CREATE TABLE reading_1m_whole (LIKE reading_1m_kept INCLUDING ALL);
INSERT INTO reading_1m_whole SELECT * FROM reading_1m_kept;
DROP TABLE reading_1m_kept;
ALTER TABLE reading_1m_whole RENAME TO reading_1m_kept;
ALTER INDEX reading_1m_whole_pkey RENAME TO reading_1m_kept_pkey;
