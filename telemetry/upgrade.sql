-- name: unlimited
-- Copying takes as long as it takes, and the snapshot of the source waits for it. Only when our process is gone is the
-- session to end, in the middle of a statement too.
SELECT set_config(name, CASE name WHEN 'client_connection_check_interval' THEN '1s' ELSE '0' END, false)
FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'lock_timeout',
               'client_connection_check_interval')

-- name: tables
-- Ours are in one schema; extensions and partitions are not listed. Foreign keys to itself do not matter to an order.
SELECT n.nspname AS schema, c.relname AS name,
       ARRAY(
           SELECT a.attname::text FROM pg_attribute AS a
           WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
           ORDER BY a.attnum
       ) AS columns,
       ARRAY(
           SELECT DISTINCT parent.relname::text
           FROM pg_constraint AS k JOIN pg_class AS parent ON parent.oid = k.confrelid
           WHERE k.conrelid = c.oid AND k.contype = 'f' AND k.confrelid <> k.conrelid
       ) AS parents
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname

-- name: columns
SELECT array_agg(attname::text ORDER BY attnum)
FROM pg_attribute
WHERE attrelid = format('%I.%I', $1::text, $2::text)::regclass AND attnum > 0 AND NOT attisdropped

-- name: pieces
-- $1: schema; $2: table. Partitions and chunks are children alike. What retention left half dropped is not read any more.
SELECT n.nspname AS schema, piece.relname AS name, pg_table_size(piece.oid) AS bytes
FROM pg_inherits AS i
JOIN pg_class AS piece ON piece.oid = i.inhrelid
JOIN pg_namespace AS n ON n.oid = piece.relnamespace
WHERE i.inhparent = format('%I.%I', $1::text, $2::text)::regclass AND NOT i.inhdetachpending
ORDER BY piece.oid

-- name: table_size
SELECT pg_table_size(format('%I.%I', $1::text, $2::text)::regclass)

-- name: identities
SELECT c.relname AS name, a.attname AS column,
       pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) AS sequence
FROM pg_attribute AS a
JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attidentity <> ''
ORDER BY 1, 2

-- name: standing
SELECT w.time AS watermark, f.time AS fence FROM reading_watermark AS w CROSS JOIN reading_fence AS f

-- name: horizons
SELECT class, time FROM series_horizon

-- name: others_at_work
-- Programs of ours that are connected and may write. Not whoever only looks in, or copies.
SELECT application_name, count(*) AS sessions
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'precursor%'
  AND application_name NOT IN ('precursor check', 'precursor upgrade')
GROUP BY 1
ORDER BY 1

-- name: hold_source
-- Advisory locks belong to a database: whoever cannot have the one that the source's session holds is in the source.
SELECT pg_advisory_lock_shared($1)

-- name: try_hold
SELECT pg_try_advisory_lock($1)

-- name: hold_upgrade
SELECT pg_try_advisory_lock(hashtext('precursor upgrade'))

-- name: hold_rollups
-- The lock of telemetry/rollups.py: nobody moves the watermark or counts marks meanwhile.
SELECT pg_try_advisory_lock(hashtext('reading rollups'))

-- name: plant_revision
SELECT revision FROM plant_revision

-- name: server_version
SELECT current_setting('server_version_num')::int

-- name: state_days
-- Sums of floats depend on their order in the last digits: seconds are whole microseconds.
SELECT count(*) AS rows,
       coalesce(sum(hash_record_extended(ROW(time, asset_id, sensor_id, state, entries, round(seconds::numeric, 6)), 0)), 0)
           AS digest,
       max(time) AS newest
FROM asset_state_1d

-- name: server
-- What the server offers, and what this database has of it. An extension can only be created where it was loaded.
SELECT (SELECT extversion FROM pg_extension WHERE extname = 'timescaledb') AS installed,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb') AS available,
       CASE WHEN pg_has_role(current_user, 'pg_read_all_settings', 'member')
            THEN current_setting('shared_preload_libraries') LIKE '%timescaledb%' END AS loaded,
       current_setting('timescaledb.license', true) AS licence,
       current_setting('server_version') AS server

-- name: materialised
-- Where continuous aggregates keep their rows.
SELECT view_name AS name, materialization_hypertable_schema AS schema, materialization_hypertable_name AS hypertable
FROM timescaledb_information.continuous_aggregates
WHERE view_schema = $1

-- name: left_over
SELECT view_name FROM timescaledb_information.continuous_aggregates WHERE view_schema = $1 ORDER BY view_name

-- name: rights
-- Who may do what with a view, as statements that say it again.
SELECT format('GRANT %s ON %I TO %s', right_.privilege_type, c.relname,
              CASE right_.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(right_.grantee)) END) AS statement
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS right_
WHERE c.oid = ANY($1::text[]::regclass[]) AND right_.grantee <> c.relowner
ORDER BY 1

-- name: kept_size
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint
FROM pg_class AS c
WHERE c.oid = ANY($1::text[]::regclass[])
   OR c.oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = ANY($1::text[]::regclass[]))
