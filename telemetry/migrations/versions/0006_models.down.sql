DELETE FROM evaluation_checkpoint WHERE name LIKE 'detector/%';
DELETE FROM evaluation_journal WHERE kind = 'rebaseline';
ALTER TABLE evaluation_journal
    DROP CONSTRAINT evaluation_journal_kind_check,
    ADD CHECK (kind IN ('readings', 'tick', 'reset'));
DELETE FROM evaluation_request WHERE kind = 'rebaseline';
ALTER TABLE evaluation_request
    DROP CONSTRAINT evaluation_request_subject,
    DROP COLUMN asset_id,
    ALTER COLUMN rule_id SET NOT NULL,
    DROP CONSTRAINT evaluation_request_kind_check,
    ADD CONSTRAINT evaluation_request_kind_check CHECK (kind = 'reset');
DROP TABLE prognosis, model_watch, model_event, model, analysis_progress, computed_batch;

-- What the older schema has no place for keeps its readings, and is out of use.
UPDATE sensor SET kind = 'measured', computed = '', source_id = NULL, retired_at = coalesce(retired_at, now()), topic = NULL
WHERE kind = 'derived' AND (source_id IS NULL OR computed <> 'score');
UPDATE sensor SET source_id = NULL WHERE kind <> 'derived';
UPDATE sensor SET origin = 'provision' WHERE origin = 'model';
ALTER TABLE sensor
    DROP CONSTRAINT sensor_origin_check,
    ADD CONSTRAINT sensor_origin_check CHECK (origin IN ('plant', 'birth', 'provision')),
    DROP CONSTRAINT sensor_computed,
    DROP CONSTRAINT sensor_source,
    ADD CONSTRAINT sensor_check CHECK ((kind = 'derived') = (source_id IS NOT NULL)),
    DROP COLUMN computed,
    DROP COLUMN vibration;
ALTER TABLE asset DROP COLUMN machine, DROP COLUMN detector;
