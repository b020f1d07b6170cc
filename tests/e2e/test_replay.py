"""Recorded plant data through MQTT: exactly the rows of the file times its sensors, and nothing twice."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from precursor.apply import apply


def replay(file: Path, topic_map: Path, dsn: str, port: int, *more: str) -> dict[str, int]:
    environment = {
        **os.environ,
        "PRECURSOR_DATABASE__DSN": dsn,
        "PRECURSOR_MQTT__HOST": "127.0.0.1",
        "PRECURSOR_MQTT__PORT": str(port),
    }
    outcome = subprocess.run(
        [sys.executable, "-m", "precursor", "replay", str(file), "--topic-map", str(topic_map), "--json", *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr[-3000:]
    result: dict[str, int] = json.loads(outcome.stdout)
    return result


@pytest.mark.parametrize(
    ("file", "topic_map", "delimiter", "columns"),
    [
        pytest.param(
            "skab/valve1/0.csv",
            "replay-skab.yaml",
            ";",
            ["Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
             "Volume Flow RateRMS"],
            id="skab",
        ),
        pytest.param(
            "femto_learning/Bearing1_1.csv",
            "replay-femto.yaml",
            ",",
            ["h_rms", "v_rms", "h_kurt", "v_kurt", "temp_c"],
            id="femto",
        ),
    ],
)  # fmt: skip
def test_a_replay_stores_every_value_of_the_file_and_a_second_one_stores_nothing_more(
    mosquitto: Any,
    dsn: str,
    new_engine: Callable[..., Any],
    recorded_data: Path,
    examples: Path,
    file: str,
    topic_map: str,
    delimiter: str,
    columns: list[str],
) -> None:
    table = pd.read_csv(recorded_data / file, sep=delimiter, usecols=columns)
    expected = int(table.notna().sum().sum())
    apply(dsn, examples / "replay-plant.yaml")
    engine = new_engine(dsn, mosquitto.port, "replay")
    engine.wait_until_listening()

    first = replay(recorded_data / file, examples / topic_map, dsn, mosquitto.port)
    assert first["readings_published"] == expected
    assert first["readings_stored"] == expected
    assert first["readings_duplicate"] == first["readings_rejected"] == 0
    second = replay(recorded_data / file, examples / topic_map, dsn, mosquitto.port)
    assert second["readings_stored"] == 0
    assert second["readings_duplicate"] == expected
    engine.stop()
