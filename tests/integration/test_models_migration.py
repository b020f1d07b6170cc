"""The schema of models, back and forth, with a plant in it that older programs have made."""

from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

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
            detector: auto
            sensors:
              - {name: temp, unit: degC, topic: works/temp, detector: ewma}
              - {name: flow, unit: l/min, topic: works/flow}
"""


def test_what_an_older_program_learned_and_set_of_detectors_goes_and_nothing_else(
    new_database: Callable[[], str], tmp_path: Path
) -> None:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    dsn = new_database()
    apply(dsn, file)
    schema.downgrade(dsn, "0005")
    with psycopg.connect(dsn) as connection:
        sensors = connection.execute("SELECT name, kind FROM sensor WHERE retired_at IS NULL ORDER BY name").fetchall()
        assert sensors == [("M-1.flow", "measured"), ("M-1.temp", "measured"), ("M-1.temp.score", "derived")]
        old = {"kind": "ewma", "parameters": {"gate": 6, "side": 1, "warmup": 300}}
        connection.execute("UPDATE sensor SET detector = %s WHERE name = 'M-1.temp'", [Jsonb(old)])
        connection.execute(
            "INSERT INTO evaluation_checkpoint (name, seq, body) VALUES ('detector/ewma', 1, ''), ('order', 1, '')"
        )

    schema.migrate(dsn)
    with psycopg.connect(dsn) as connection:
        [[detector]] = connection.execute("SELECT detector FROM sensor WHERE name = 'M-1.temp'").fetchall()
        assert detector == {"kind": "ewma", "parameters": {"side": 1, "warmup": 300}}
        assert connection.execute("SELECT computed FROM sensor WHERE name = 'M-1.temp.score'").fetchall() == [
            ("score",)
        ]
        assert connection.execute("SELECT name FROM evaluation_checkpoint").fetchall() == [("order",)]
    apply(dsn, file)
    with psycopg.connect(dsn) as connection:
        count = connection.execute(
            "SELECT count(*) FROM sensor WHERE kind = 'derived' AND retired_at IS NULL"
        ).fetchone()
        assert count == (4,), "score, anomaly, two shares"
