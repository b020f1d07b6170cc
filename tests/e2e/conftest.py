"""The engine as its users run it: a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest


@dataclass
class EngineProcess:
    """`precursor ingest` against a given database and broker."""

    dsn: str
    port: int
    client_id: str
    log: Path
    process: subprocess.Popen[bytes] | None = None
    _output: IO[bytes] | None = None

    def start(self) -> None:
        """Start it; returns at once."""
        environment = {
            **os.environ,
            "PRECURSOR_DATABASE__DSN": self.dsn,
            "PRECURSOR_MQTT__HOST": "127.0.0.1",
            "PRECURSOR_MQTT__PORT": str(self.port),
            "PRECURSOR_MQTT__CLIENT_ID": self.client_id,
            "PRECURSOR_LOG__FORMAT": "json",
        }
        self._output = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "precursor", "ingest"], env=environment, stderr=self._output
        )

    def wait_until_listening(self) -> None:
        """Wait until the broker has granted its subscriptions."""
        deadline = time.monotonic() + 60
        while not self.events("engine_listening"):
            assert time.monotonic() < deadline, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self) -> None:
        """An orderly stop."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            assert self.process.wait(timeout=30) == 0, self.log.read_text()[-3000:]
        self._close()

    def _close(self) -> None:
        self.process = None
        if self._output is not None:
            self._output.close()

    def events(self, name: str) -> list[dict[str, object]]:
        """What it logged under an event name."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def quick_plant(tmp_path: Path, examples: Path) -> Path:
    """The example plant without its one detector that makes every start of an engine twice as long."""
    text = (examples / "plant.yaml").read_text()
    assert "detector: half_space_trees" in text
    (tmp_path / "quick-plant.yaml").write_text(text.replace("detector: half_space_trees", "detector: ewma"))
    return tmp_path / "quick-plant.yaml"


@pytest.fixture
def new_engine(tmp_path: Path) -> Iterator[Callable[..., EngineProcess]]:
    """Makes engine processes; those still running at the end are ended."""
    made: list[EngineProcess] = []

    def make(dsn: str, port: int, client_id: str) -> EngineProcess:
        engine = EngineProcess(dsn=dsn, port=port, client_id=client_id, log=tmp_path / f"{client_id}.log")
        made.append(engine)
        engine.start()
        return engine

    yield make
    for engine in made:
        if engine.process is not None:
            engine.kill()  # also closes the log of one that ended by itself
