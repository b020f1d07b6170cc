DROP VIEW alarm_proposal, alarm_kpi_summary, alarm_kpi_acknowledgement, alarm_kpi_priority, alarm_kpi_stale,
    alarm_kpi_chattering, alarm_kpi_top, alarm_kpi_source, alarm_kpi_flood, alarm_kpi_1d, alarm_kpi_1h, alarm_kpi_10m,
    alarm_kpi_target, alarm_state;
DROP FUNCTION alarm_proposals, alarm_kpi_summaries, alarm_kpi_acknowledgements, alarm_kpi_priorities,
    alarm_kpi_stale_alarms, alarm_kpi_sources, alarm_kpi_floods, alarm_kpi_rate, alarm_states, assets_in_maintenance;
DROP TABLE alarm_operators;
DROP INDEX alarm_annunciated, alarm_not_normal, alarm_untold;
DELETE FROM evaluation_journal WHERE kind = 'reset';
ALTER TABLE evaluation_journal
    DROP CONSTRAINT evaluation_journal_kind_check,
    ADD CHECK (kind IN ('readings', 'tick'));
DROP TABLE evaluation_request, maintenance_window, alarm_suppression;

-- Alarms and rules that the older schema cannot hold go, and what hangs on them.
CREATE TEMPORARY TABLE going ON COMMIT DROP AS
SELECT id FROM rule WHERE sensor_id IS NULL OR kind <> 'limit' OR (high IS NULL AND low IS NULL);
DELETE FROM alarm_event USING alarm
WHERE alarm.id = alarm_event.alarm_id
  AND (alarm.rule_id IN (SELECT id FROM going) OR alarm.side NOT IN ('high', 'low'));
DELETE FROM alarm_event WHERE alarm_id IS NULL;
DELETE FROM alarm WHERE rule_id IN (SELECT id FROM going) OR side NOT IN ('high', 'low');
DELETE FROM rule WHERE id IN (SELECT id FROM going);

DROP INDEX alarm_event_at, alarm_event_rule;
ALTER TABLE alarm_event DROP COLUMN rule_id, ALTER COLUMN alarm_id SET NOT NULL;
ALTER TABLE alarm
    DROP CONSTRAINT alarm_side_check,
    ADD CHECK (side IN ('high', 'low')),
    ALTER COLUMN sensor_id SET NOT NULL,
    DROP COLUMN category, DROP COLUMN annunciated_at, DROP COLUMN acknowledged_at, DROP COLUMN acknowledged_by,
    DROP COLUMN latching, DROP COLUMN reset_at, DROP COLUMN suppressed_by;
DROP INDEX rule_sensor, rule_asset;
ALTER TABLE rule
    DROP COLUMN subject, DROP COLUMN asset_id, DROP COLUMN kind, DROP COLUMN unit, DROP COLUMN high_high,
    DROP COLUMN low_low, DROP COLUMN critical_priority, DROP COLUMN latching, DROP COLUMN options,
    DROP COLUMN watched_since,
    ALTER COLUMN sensor_id SET NOT NULL,
    ADD CHECK (high IS NOT NULL OR low IS NOT NULL),
    ADD UNIQUE (name, sensor_id);
