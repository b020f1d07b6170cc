-- What is computed -----------------------------------------------------------------------------------------------

-- What analysis has to know of a machine: speed, bearings, gear, group and foundation for ISO 20816.
ALTER TABLE asset
    ADD COLUMN machine jsonb NOT NULL DEFAULT '{}',
    -- how the asset is scored by all its sensors together; null: not
    ADD COLUMN detector jsonb;

-- A derived sensor says what it is; not each one comes from one sensor: an asset's score comes from many.
ALTER TABLE sensor
    ADD COLUMN computed text NOT NULL DEFAULT '',
    -- how waveforms of this sensor are analysed; null: they are stored only
    ADD COLUMN vibration jsonb;
UPDATE sensor SET computed = 'score' WHERE kind = 'derived';
ALTER TABLE sensor
    DROP CONSTRAINT sensor_check,
    ADD CONSTRAINT sensor_computed CHECK ((kind = 'derived') = (computed <> '')),
    ADD CONSTRAINT sensor_source CHECK (source_id IS NULL OR kind = 'derived'),
    -- a model that is in use makes the sensors it writes to
    DROP CONSTRAINT sensor_origin_check,
    ADD CONSTRAINT sensor_origin_check CHECK (origin IN ('plant', 'birth', 'provision', 'model'));

-- Readings that another process computed: the engine takes them into its next transaction, each batch once.
CREATE TABLE computed_batch (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    worker text NOT NULL,
    body bytea NOT NULL,
    readings int NOT NULL CHECK (readings > 0),
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Up to where windows of the store have been analysed, by task and sensor or asset.
CREATE TABLE analysis_progress (
    task text NOT NULL,
    subject int NOT NULL,
    done_until timestamptz NOT NULL,
    PRIMARY KEY (task, subject)
);

-- Detectors measure otherwise now: what they had learned means nothing to them, they warm up anew.
DELETE FROM evaluation_checkpoint WHERE name LIKE 'detector/%';
-- What they set themselves now is not set for them any more.
UPDATE sensor
SET detector = jsonb_set(detector, '{parameters}', (detector -> 'parameters')
    - '{smoothing,gate,learning_rate,clip,reach,relative_floor}'::text[])
WHERE detector ->> 'kind' = 'ewma';
UPDATE sensor SET detector = jsonb_set(detector, '{parameters}', (detector -> 'parameters') - 'gate')
WHERE detector ->> 'kind' = 'half_space_trees';

-- Models -----------------------------------------------------------------------------------------------------------

CREATE TABLE model (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    version int NOT NULL CHECK (version > 0),
    task text NOT NULL CHECK (task IN ('anomaly', 'remaining_life')),
    asset_class text NOT NULL,
    state text NOT NULL CHECK (state IN ('candidate', 'shadow', 'active', 'retired')),
    artefact bytea NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    -- data range, features, metrics, versions of code and libraries, reference distributions for drift
    metadata jsonb NOT NULL,
    trained_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (name, version)
);
CREATE UNIQUE INDEX model_active ON model (name) WHERE state = 'active';
CREATE UNIQUE INDEX model_shadow ON model (name) WHERE state = 'shadow';

CREATE TABLE model_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id int NOT NULL REFERENCES model,
    at timestamptz NOT NULL DEFAULT now(),
    state_from text,
    state_to text NOT NULL,
    actor text NOT NULL,
    note text NOT NULL DEFAULT ''
);
CREATE INDEX model_event_model ON model_event (model_id, id);

-- How a model fares on what came after its training: drift of its inputs, and its figures.
CREATE TABLE model_watch (
    model_id int NOT NULL REFERENCES model,
    begin_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL CHECK (end_at > begin_at),
    -- population stability index by feature
    drift jsonb NOT NULL DEFAULT '{}',
    performance jsonb NOT NULL DEFAULT '{}',
    watched_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model_id, end_at)
);

-- What was said about the time that is left, and what came of it.
CREATE TABLE prognosis (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id int NOT NULL REFERENCES asset,
    -- whose trend it is; null: of the asset as a whole
    sensor_id int REFERENCES sensor,
    failure_mode text NOT NULL DEFAULT '',
    method text NOT NULL CHECK (method IN ('trend', 'age', 'model')),
    model_id int REFERENCES model,
    -- event time: nothing later was known
    made_at timestamptz NOT NULL,
    -- s from then to the functional failure; null: no answer, with the reason
    p10_s float8,
    p50_s float8,
    p90_s float8,
    reason text NOT NULL DEFAULT '',
    limit_value float8,
    details jsonb NOT NULL DEFAULT '{}',
    -- failed; or repaired before that
    outcome text CHECK (outcome IN ('failed', 'repaired')),
    outcome_at timestamptz,
    CHECK ((p50_s IS NULL) = (p10_s IS NULL) AND (p50_s IS NULL) = (p90_s IS NULL)),
    CHECK (p10_s <= p50_s AND p50_s <= p90_s),
    CHECK ((outcome IS NULL) = (outcome_at IS NULL)),
    UNIQUE NULLS NOT DISTINCT (asset_id, sensor_id, failure_mode, method, made_at)
);
CREATE INDEX prognosis_made ON prognosis (made_at, id);
CREATE INDEX prognosis_open ON prognosis (asset_id, made_at) WHERE outcome IS NULL;

-- What people ask of the evaluation: also to learn anew what is usual for a machine.
ALTER TABLE evaluation_request
    DROP CONSTRAINT evaluation_request_kind_check,
    ADD CONSTRAINT evaluation_request_kind_check CHECK (kind IN ('reset', 'rebaseline')),
    ALTER COLUMN rule_id DROP NOT NULL,
    ADD COLUMN asset_id int REFERENCES asset,
    ADD CONSTRAINT evaluation_request_subject CHECK (
        CASE kind WHEN 'reset' THEN rule_id IS NOT NULL AND asset_id IS NULL
                  ELSE asset_id IS NOT NULL AND rule_id IS NULL END
    );
ALTER TABLE evaluation_journal
    DROP CONSTRAINT evaluation_journal_kind_check,
    ADD CHECK (kind IN ('readings', 'tick', 'reset', 'rebaseline'));
