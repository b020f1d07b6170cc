-- Devices and what they say about themselves; readings of unknown names kept aside; quality checks at the door.

ALTER TABLE gateway
    -- format, fields, names, asset, unknown, provision: `telemetry.plant.Gateway`, where they are not the defaults
    ADD COLUMN options jsonb NOT NULL DEFAULT '{}';

ALTER TABLE sensor
    ADD COLUMN checks jsonb NOT NULL DEFAULT '{}',
    -- who made it: the plant file keeps what others made
    ADD COLUMN origin text NOT NULL DEFAULT 'plant' CHECK (origin IN ('plant', 'birth', 'provision'));
ALTER TABLE asset
    ADD COLUMN origin text NOT NULL DEFAULT 'plant' CHECK (origin IN ('plant', 'birth', 'provision'));
ALTER TABLE area
    ADD COLUMN origin text NOT NULL DEFAULT 'plant' CHECK (origin IN ('plant', 'birth', 'provision'));

CREATE TABLE device (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- gateway: its name; Sparkplug: group/node or group/node/device
    name text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('gateway', 'node', 'device')),
    title text NOT NULL DEFAULT '',
    -- ledger's source: the gateway of the plant file it speaks through; '' where there is none yet
    source text NOT NULL DEFAULT '',
    parent_id int REFERENCES device,
    origin text NOT NULL DEFAULT 'person' CHECK (origin IN ('plant', 'birth', 'person')),
    status text NOT NULL DEFAULT 'offline' CHECK (status IN ('online', 'offline', 'stale', 'quarantined')),
    status_at timestamptz NOT NULL DEFAULT now(),
    registered_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz,
    -- the device's clock minus ours, s
    clock_offset_s float8,
    -- its largest sample, and the begin, of the stretch under way: `ingest.registry_store` says how
    clock_peak_s float8,
    clock_since timestamptz,
    hardware text NOT NULL DEFAULT '',
    firmware text NOT NULL DEFAULT '',
    -- whatever else its birth says about it
    properties jsonb NOT NULL DEFAULT '{}',
    -- where its secret is kept (a user name at the broker, a path in a vault), never the secret
    credentials text NOT NULL DEFAULT '',
    -- silent for longer: stale; NULL: never
    stale_after_s float8 CHECK (stale_after_s > 0),
    decommissioned_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX device_parent ON device (parent_id);

-- The session of a Sparkplug edge node, as far as a host that comes back needs it.
CREATE TABLE sparkplug_node (
    device_id int PRIMARY KEY REFERENCES device ON DELETE CASCADE,
    bd_seq smallint,
    seq smallint,
    born_at timestamptz
) WITH (fillfactor = 50);

-- What births said: metrics of a node or device, the sensors they are, and the short numbers they are sent under.
CREATE TABLE sparkplug_metric (
    -- A device: without REFERENCES, here and below, as looking each row's up takes longer than writing it.
    device_id int NOT NULL,
    name text NOT NULL,
    alias bigint,
    datatype smallint NOT NULL,
    unit text NOT NULL DEFAULT '',
    low float8,
    high float8,
    PRIMARY KEY (device_id, name)
);

-- Names the plant does not have, by the source that sent them, and their readings.
CREATE TABLE quarantined_name (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    name text NOT NULL,
    unit text NOT NULL DEFAULT '',
    readings bigint NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL DEFAULT now(),
    last_at timestamptz NOT NULL DEFAULT now(),
    -- one name in two units is held twice: its values are not of one kind
    UNIQUE (source, name, unit)
) WITH (fillfactor = 50);
CREATE TABLE quarantined_reading (
    -- a `quarantined_name`
    name_id int NOT NULL,
    time timestamptz NOT NULL,
    value float8,
    -- a text whose meaning only the sensor's codes will tell
    text text,
    quality smallint NOT NULL,
    PRIMARY KEY (name_id, time),
    CHECK ((value IS NULL) <> (text IS NULL))
);

-- What the checks at the door found, by sensor.
CREATE TABLE sensor_finding (
    sensor_id int NOT NULL REFERENCES sensor,
    finding text NOT NULL,
    readings bigint NOT NULL DEFAULT 0,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (sensor_id, finding)
) WITH (fillfactor = 50);

-- What people ask devices to do; the engine sends it, or says why not.
CREATE TABLE device_command (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device text NOT NULL,
    metric text NOT NULL,
    -- as JSON: a number, a boolean or a text
    value jsonb NOT NULL,
    requested_by text NOT NULL DEFAULT '',
    requested_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    -- why it was not sent; NULL with settled_at: it was
    refused text
);
CREATE INDEX device_command_pending ON device_command (id) WHERE settled_at IS NULL;
