"""The schema of alarms, back and forth, with rules and alarms in it that the older one does not know."""

from collections.abc import Callable
from pathlib import Path

import psycopg

from precursor.apply import apply
from telemetry import schema

PLANT = """
version: 1
sites:
  - name: works
    areas:
      - name: hall
        assets:
          - name: M-1
            sensors:
              - {name: temp, unit: degC, topic: works/temp}
rules:
  - {name: hot, sensors: [M-1.temp], high: 80, high_high: 95, priority: high}
  - {name: very-hot, sensors: [M-1.temp], high_high: 99, priority: high}
  - {name: silent, kind: no_data, assets: [M-1], for: 5 min, priority: low}
"""
ALARMS = """
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, priority, began_at, value,
                   peak_value, peak_at, category)
SELECT name || side, id, name, sensor_id, asset_id, side, 1, 1, now(), 1, 1, now(), 'machine'
FROM rule CROSS JOIN unnest(CASE name WHEN 'hot' THEN '{high,high_high}' WHEN 'silent' THEN '{condition}'
                                      WHEN 'very-hot' THEN '{high_high}' ELSE '{}' END::text[]) AS side;
INSERT INTO alarm_event (alarm_id, rule_id, kind, at) SELECT id, rule_id, 'raised', now() FROM alarm;
INSERT INTO alarm_event (rule_id, kind, at) SELECT id, 'shelved', now() FROM rule;
INSERT INTO evaluation_journal (kind, revision, body) VALUES ('reset', 1, ''), ('tick', 1, '');
"""


def test_going_back_keeps_the_alarms_that_the_older_schema_can_hold(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    dsn = new_database()
    apply(dsn, file)
    with psycopg.connect(dsn) as connection:
        connection.execute(ALARMS.encode())

    schema.downgrade(dsn, "0004")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT name, high FROM rule").fetchall() == [("hot", 80.0)]
        assert connection.execute("SELECT rule_name, side FROM alarm").fetchall() == [("hot", "high")]
        assert connection.execute("SELECT kind FROM alarm_event").fetchall() == [("raised",)]
        assert connection.execute("SELECT kind FROM evaluation_journal").fetchall() == [("tick",)]

    schema.migrate(dsn)
    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT subject, unit, kind, high_high FROM rule").fetchall()
        assert rows == [("M-1.temp", "degC", "limit", None)]
        told = connection.execute("SELECT annunciated_at = began_at, acknowledged_at FROM alarm").fetchall()
        assert told == [(True, None)], "it stood: somebody has still to acknowledge it"
    apply(dsn, file)
    with psycopg.connect(dsn) as connection:
        [count] = connection.execute("SELECT count(*) FROM rule WHERE retired_at IS NULL").fetchone() or ()
        assert count == 4, "the file's rules, and the one for the quality of its sensor"
