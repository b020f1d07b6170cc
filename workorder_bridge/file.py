"""Work orders as lines in a file: what a planner without a CMMS can look at."""

import asyncio
import os
from datetime import datetime
from pathlib import Path

from workorder_bridge.connector import Delivery, OutboxEvent, Outcome

__all__ = ["FileConnector"]


class FileConnector:
    """Appends each event as one line of JSON (a CloudEvent). The file can be moved away at any time."""

    def __init__(self, path: Path, *, source: str = "precursor") -> None:
        self._path = path
        self._source = source

    @property
    def name(self) -> str:
        """The file's name."""
        return f"file {self._path.name}"

    async def deliver(self, event: OutboxEvent, now: datetime) -> Delivery:
        """Append, and be sure that it is on the disk."""
        try:
            await asyncio.to_thread(self._append, event.cloud_event(self._source))
        except OSError as error:
            # A full disk or a missing right is everybody's trouble, not this event's.
            return Delivery(outcome=Outcome.RETRY, detail=str(error), unavailable=True)
        return Delivery(outcome=Outcome.DELIVERED)

    def _append(self, line: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            end = file.seek(0, os.SEEK_END)
            if end > 0:
                file.seek(end - 1)
                # A crash in the middle of a line must not spoil the next one.
                if file.read(1) != b"\n":
                    line = b"\n" + line
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
