-- Rules of every kind, and the life of alarms (ISA-18.2): who acknowledged, shelved, took out of service, and why.

ALTER TABLE rule
    -- the sensor's or the asset's name: what the rule is on
    ADD COLUMN subject text,
    ADD COLUMN asset_id int REFERENCES asset,
    ALTER COLUMN sensor_id DROP NOT NULL,
    ADD COLUMN kind text NOT NULL DEFAULT 'limit',
    ADD COLUMN unit text,
    ADD COLUMN high_high float8,
    ADD COLUMN low_low float8,
    ADD COLUMN critical_priority smallint NOT NULL DEFAULT 3 CHECK (critical_priority BETWEEN 1 AND 3),
    ADD COLUMN latching boolean NOT NULL DEFAULT false,
    -- what the kind needs, gate, schedule, suppression, where limits come from: `rules.store` reads it
    ADD COLUMN options jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN watched_since timestamptz NOT NULL DEFAULT now(),
    DROP CONSTRAINT rule_check,
    DROP CONSTRAINT rule_name_sensor_id_key;
UPDATE rule SET subject = sensor.name, asset_id = sensor.asset_id, unit = sensor.unit
FROM sensor WHERE sensor.id = rule.sensor_id;
ALTER TABLE rule
    ALTER COLUMN subject SET NOT NULL,
    ALTER COLUMN asset_id SET NOT NULL,
    ALTER COLUMN unit SET NOT NULL,
    ADD UNIQUE (name, subject);
CREATE INDEX rule_sensor ON rule (sensor_id);
CREATE INDEX rule_asset ON rule (asset_id);

ALTER TABLE alarm
    ALTER COLUMN sensor_id DROP NOT NULL,
    DROP CONSTRAINT alarm_side_check,
    ADD CHECK (side IN ('high_high', 'high', 'low', 'low_low', 'condition')),
    ADD COLUMN category text NOT NULL DEFAULT 'machine' CHECK (category IN ('machine', 'sensor')),
    -- event time at which people were told; NULL: not yet, as it came while it was suppressed in some way
    ADD COLUMN annunciated_at timestamptz,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    -- stands until it is reset, also after its end
    ADD COLUMN latching boolean NOT NULL DEFAULT false,
    ADD COLUMN reset_at timestamptz,
    -- by design: keys of the alarms that stand for it
    ADD COLUMN suppressed_by text;
UPDATE alarm SET annunciated_at = began_at, acknowledged_at = began_at, acknowledged_by = 'engine'
WHERE ended_at IS NOT NULL;
UPDATE alarm SET annunciated_at = began_at WHERE ended_at IS NULL;

-- Events of a rule without an alarm too: it was shelved, taken out of service.
ALTER TABLE alarm_event
    ALTER COLUMN alarm_id DROP NOT NULL,
    ADD COLUMN rule_id int REFERENCES rule;
UPDATE alarm_event SET rule_id = alarm.rule_id FROM alarm WHERE alarm.id = alarm_event.alarm_id;
ALTER TABLE alarm_event ALTER COLUMN rule_id SET NOT NULL;
CREATE INDEX alarm_event_rule ON alarm_event (rule_id, at);
CREATE INDEX alarm_event_at ON alarm_event (at);
-- Of alarms that stand, those of which people are still to be told.
CREATE INDEX alarm_untold ON alarm (id) WHERE ended_at IS NULL AND annunciated_at IS NULL;

-- What people decided about alarms to come: of a rule, or of one side of it.
CREATE TABLE alarm_suppression (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind IN ('shelved', 'out_of_service')),
    rule_id int NOT NULL REFERENCES rule,
    -- NULL: all of them
    side text,
    begin_at timestamptz NOT NULL,
    -- NULL: until it is ended; a shelf has an end, or is for one time
    end_at timestamptz,
    one_shot boolean NOT NULL DEFAULT false,
    actor text NOT NULL,
    note text NOT NULL DEFAULT '',
    ended_at timestamptz,
    ended_by text,
    CHECK (kind <> 'shelved' OR one_shot OR end_at IS NOT NULL),
    CHECK (end_at > begin_at)
);
CREATE INDEX alarm_suppression_rule ON alarm_suppression (rule_id, begin_at);
-- Two people at once: the second one is told.
CREATE UNIQUE INDEX alarm_suppression_open ON alarm_suppression (rule_id, kind, coalesce(side, ''))
    WHERE ended_at IS NULL;

-- Alarms of an asset, and of what it consists of, tell nobody while it is worked on.
CREATE TABLE maintenance_window (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    asset_id int NOT NULL REFERENCES asset,
    begin_at timestamptz NOT NULL,
    end_at timestamptz NOT NULL,
    actor text NOT NULL,
    note text NOT NULL DEFAULT '',
    cancelled_at timestamptz,
    cancelled_by text,
    CHECK (end_at > begin_at)
);
CREATE INDEX maintenance_window_end ON maintenance_window (end_at);

-- Assets with a window that overlaps these instants, both included: those of the windows, and all below them.
CREATE FUNCTION assets_in_maintenance(since timestamptz, until timestamptz)
RETURNS TABLE (window_id bigint, asset_id int, begin_at timestamptz, end_at timestamptz, actor text, note text)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE covered AS (
        SELECT w.id, w.asset_id, w.begin_at, least(w.end_at, w.cancelled_at) AS end_at, w.actor, w.note
        FROM maintenance_window w
        WHERE w.end_at > since AND w.begin_at <= until
          AND (w.cancelled_at IS NULL OR w.cancelled_at > greatest(w.begin_at, since))
        UNION ALL
        SELECT covered.id, below.id, covered.begin_at, covered.end_at, covered.actor, covered.note
        FROM covered JOIN asset below ON below.parent_id = covered.asset_id
    )
    SELECT covered.id, covered.asset_id, covered.begin_at, covered.end_at, covered.actor, covered.note FROM covered
$$;

-- What people ask of the evaluation; the engine does it, in its own order.
CREATE TABLE evaluation_request (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL CHECK (kind = 'reset'),
    rule_id int NOT NULL REFERENCES rule,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    note text NOT NULL DEFAULT '',
    done_at timestamptz
);
CREATE INDEX evaluation_request_open ON evaluation_request (id) WHERE done_at IS NULL;
ALTER TABLE evaluation_journal
    DROP CONSTRAINT evaluation_journal_kind_check,
    ADD CHECK (kind IN ('readings', 'tick', 'reset'));
