DROP TABLE device_command, sensor_finding, quarantined_reading, quarantined_name, sparkplug_metric, sparkplug_node, device;
ALTER TABLE area DROP COLUMN origin;
ALTER TABLE asset DROP COLUMN origin;
ALTER TABLE sensor DROP COLUMN origin, DROP COLUMN checks;
ALTER TABLE gateway DROP COLUMN options;
