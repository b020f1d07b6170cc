-- name: append
INSERT INTO evaluation_journal (kind, revision, body) VALUES ($1, $2, $3) RETURNING seq

-- name: load_checkpoint
SELECT name, seq, body FROM evaluation_checkpoint

-- name: load_entries
SELECT seq, kind, revision, body FROM evaluation_journal WHERE seq > $1 ORDER BY seq

-- name: save_part
INSERT INTO evaluation_checkpoint AS c (name, seq, body) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET seq = excluded.seq, body = excluded.body, saved_at = now()

-- name: drop_other_parts
DELETE FROM evaluation_checkpoint WHERE name <> ALL ($1::text[])

-- name: drop_entries
DELETE FROM evaluation_journal WHERE seq <= $1
