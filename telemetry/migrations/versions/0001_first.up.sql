-- The plant ------------------------------------------------------------------------------------------------------

CREATE TABLE plant_revision (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    revision bigint NOT NULL DEFAULT 0,
    applied_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO plant_revision DEFAULT VALUES;

CREATE TABLE site (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    title text NOT NULL DEFAULT '',
    subscribe text[] NOT NULL DEFAULT '{}',
    retired_at timestamptz
);

CREATE TABLE area (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    site_id int NOT NULL REFERENCES site,
    name text NOT NULL,
    title text NOT NULL DEFAULT '',
    retired_at timestamptz,
    UNIQUE (site_id, name)
);

CREATE TABLE gateway (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    site_id int NOT NULL REFERENCES site,
    topic text NOT NULL,
    retired_at timestamptz
);
CREATE UNIQUE INDEX gateway_topic ON gateway (topic) WHERE retired_at IS NULL;

CREATE TABLE asset (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    title text NOT NULL DEFAULT '',
    area_id int NOT NULL REFERENCES area,
    parent_id int REFERENCES asset,
    asset_class text NOT NULL DEFAULT '',
    criticality smallint NOT NULL DEFAULT 3 CHECK (criticality BETWEEN 1 AND 5),
    retired_at timestamptz
);

CREATE TABLE sensor (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    title text NOT NULL DEFAULT '',
    asset_id int NOT NULL REFERENCES asset,
    kind text NOT NULL DEFAULT 'measured' CHECK (kind IN ('measured', 'state', 'derived')),
    quantity text NOT NULL DEFAULT '',
    unit text NOT NULL DEFAULT '',
    topic text,
    factor float8 NOT NULL DEFAULT 1,
    "offset" float8 NOT NULL DEFAULT 0,
    codes jsonb NOT NULL DEFAULT '{}',
    source_id int REFERENCES sensor,
    detector jsonb,
    retired_at timestamptz,
    CHECK ((kind = 'derived') = (source_id IS NOT NULL))
);
CREATE INDEX sensor_asset ON sensor (asset_id);
CREATE UNIQUE INDEX sensor_topic ON sensor (topic) WHERE topic IS NOT NULL AND retired_at IS NULL;

CREATE TABLE job_plan (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    title text NOT NULL DEFAULT '',
    tasks jsonb NOT NULL DEFAULT '[]',
    parts jsonb NOT NULL DEFAULT '[]',
    skills jsonb NOT NULL DEFAULT '[]',
    labour_hours float8 NOT NULL DEFAULT 0,
    due_within_s float8 NOT NULL CHECK (due_within_s > 0),
    retired_at timestamptz
);

-- One row a rule and sensor it watches.
CREATE TABLE rule (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    title text NOT NULL DEFAULT '',
    sensor_id int NOT NULL REFERENCES sensor,
    high float8,
    low float8,
    deadband float8 NOT NULL DEFAULT 0,
    on_delay_s float8 NOT NULL DEFAULT 0,
    off_delay_s float8 NOT NULL DEFAULT 0,
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 3),
    failure_mode text,
    job_plan text REFERENCES job_plan (name),
    retired_at timestamptz,
    UNIQUE (name, sensor_id),
    CHECK (high IS NOT NULL OR low IS NOT NULL)
);

-- What arrived -----------------------------------------------------------------------------------------------------

-- One row a distinct bad payload, so that a gateway which repeats itself for a week fills a counter, not a disk.
CREATE TABLE rejected (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    source text NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL DEFAULT '',
    payload bytea NOT NULL,
    payload_bytes int NOT NULL,
    readings bigint NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rejected_last ON rejected (last_at DESC);

CREATE TABLE ledger_entry (
    source text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('received', 'stored', 'duplicate', 'rejected')),
    reason text NOT NULL DEFAULT '',
    readings bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (source, outcome, reason)
) WITH (fillfactor = 50);

CREATE VIEW ledger AS
SELECT source,
       coalesce(sum(readings) FILTER (WHERE outcome = 'received'), 0)::bigint AS received,
       coalesce(sum(readings) FILTER (WHERE outcome = 'stored'), 0)::bigint AS stored,
       coalesce(sum(readings) FILTER (WHERE outcome = 'duplicate'), 0)::bigint AS duplicate,
       coalesce(sum(readings) FILTER (WHERE outcome = 'rejected'), 0)::bigint AS rejected,
       coalesce(jsonb_object_agg(reason, readings) FILTER (WHERE outcome = 'rejected'), '{}') AS rejected_by_reason,
       coalesce(sum(CASE outcome WHEN 'received' THEN readings ELSE -readings END), 0) = 0 AS balanced
FROM ledger_entry
GROUP BY source;

-- Evaluation ---------------------------------------------------------------------------------------------------------

-- The state of the fold as of journal entry `seq`; with the entries after it, the state as of the last COMMIT.
CREATE TABLE evaluation_checkpoint (
    name text PRIMARY KEY,
    seq bigint NOT NULL,
    body bytea NOT NULL,
    saved_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE evaluation_checkpoint ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE evaluation_journal (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('readings', 'tick')),
    revision bigint NOT NULL,
    body bytea NOT NULL
);
ALTER TABLE evaluation_journal ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE alarm (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL UNIQUE,
    rule_id int NOT NULL REFERENCES rule,
    rule_name text NOT NULL,
    sensor_id int NOT NULL REFERENCES sensor,
    asset_id int NOT NULL REFERENCES asset,
    side text NOT NULL CHECK (side IN ('high', 'low')),
    limit_value float8 NOT NULL,
    unit text NOT NULL DEFAULT '',
    priority smallint NOT NULL,
    failure_mode text,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    value float8 NOT NULL,
    peak_value float8 NOT NULL,
    peak_at timestamptz NOT NULL,
    work_order_id bigint
);
CREATE INDEX alarm_began ON alarm (began_at DESC);
CREATE INDEX alarm_asset ON alarm (asset_id, began_at DESC);
CREATE INDEX alarm_active ON alarm (rule_id) WHERE ended_at IS NULL;
CREATE INDEX alarm_work_order ON alarm (work_order_id);

CREATE TABLE alarm_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm_id bigint NOT NULL REFERENCES alarm,
    kind text NOT NULL,
    at timestamptz NOT NULL,
    value float8,
    actor text NOT NULL DEFAULT 'engine',
    note text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (alarm_id, kind, at)
);

-- Maintenance --------------------------------------------------------------------------------------------------------

CREATE TABLE work_order (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id int NOT NULL REFERENCES asset,
    failure_mode text NOT NULL,
    status text NOT NULL DEFAULT 'new'
        CHECK (status IN ('new', 'assigned', 'in_progress', 'completed', 'verified', 'closed', 'cancelled')),
    priority smallint NOT NULL CHECK (priority BETWEEN 1 AND 5),
    title text NOT NULL,
    opened_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    occurrences int NOT NULL DEFAULT 1,
    evidence jsonb NOT NULL DEFAULT '[]',
    job_plan jsonb,
    assignee text,
    external_reference text,
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);
ALTER TABLE alarm ADD FOREIGN KEY (work_order_id) REFERENCES work_order;
-- One order at a time for an asset and its failure mode, whatever the engine believes.
CREATE UNIQUE INDEX work_order_open ON work_order (asset_id, failure_mode)
    WHERE status IN ('new', 'assigned', 'in_progress');
CREATE INDEX work_order_opened ON work_order (opened_at DESC);

CREATE TABLE work_order_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    work_order_id bigint NOT NULL REFERENCES work_order,
    from_status text,
    to_status text NOT NULL,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    note text NOT NULL DEFAULT ''
);
CREATE INDEX work_order_event_order ON work_order_event (work_order_id, id);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    work_order_id bigint NOT NULL REFERENCES work_order,
    event text NOT NULL,
    body jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    last_error text
);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE delivered_at IS NULL;
-- An event waits for the earlier ones of its order.
CREATE INDEX outbox_order ON outbox (work_order_id, id) WHERE delivered_at IS NULL;

-- Reliability --------------------------------------------------------------------------------------------------------

-- Hours of a state sensor whose seconds have to be counted again because readings arrived in them.
CREATE TABLE asset_state_touched (
    sensor_id int NOT NULL REFERENCES sensor,
    hour timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, hour)
);
