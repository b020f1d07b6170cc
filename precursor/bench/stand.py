"""The parts that a bench works on: those that settings name, else embedded ones in a folder of its own."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.mqtt import MqttOptions
from precursor import parts
from precursor.bench.machine import broker_kind, describe_broker
from precursor.bench.scratch import scratch_database
from precursor.settings import Settings

__all__ = ["Stand", "stand"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What a bench that sends messages works on."""

    settings: Settings
    """those given, but for the folder and the broker's port"""
    dsn: str
    """a database of the bench's own, migrated"""
    mqtt: MqttOptions
    broker: str
    """which one it is, for people"""
    keeps_sessions: bool
    """whether it keeps messages for who is away"""


@contextlib.contextmanager
def stand(settings: Settings) -> Iterator[Stand]:
    """Database and broker, for as long as the block lasts; nothing is left of it afterwards.

    Raises:
        PrecursorError: a part does not answer, or does not let us do what is needed.
    """
    with (
        tempfile.TemporaryDirectory(prefix="precursor-bench-") as folder,
        contextlib.ExitStack() as stack,
    ):
        # Port 0: whatever listens on the usual one must not hear the bench.
        private = settings.model_copy(
            update={"data_dir": Path(folder)}
            | ({} if settings.mqtt.host else {"mqtt": settings.mqtt.model_copy(update={"port": 0})})
        )
        dsn = stack.enter_context(scratch_database(stack.enter_context(parts.database(private))))
        mqtt = stack.enter_context(parts.broker(private))
        yield Stand(
            settings=private,
            dsn=dsn,
            mqtt=mqtt,
            broker=describe_broker(private),
            keeps_sessions=broker_kind(private) != "amqtt",
        )
