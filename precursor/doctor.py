"""What `precursor doctor` looks at."""

import contextlib
import platform
import socket
from dataclasses import dataclass

from precursor import __version__, parts, preflight
from precursor.embedded import find_mosquitto, has_embedded_database, running_broker
from precursor.settings import Settings
from telemetry.errors import PrecursorError

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    text: str
    """what was found, and what to do where it is not right"""

    def as_json(self) -> dict[str, object]:
        """The finding as a JSON object."""
        return {"subject": self.subject, "ok": self.ok, "text": self.text}


def examine(settings: Settings) -> list[Finding]:
    """Everything there is to look at; never raises for what it finds."""
    return [
        Finding(
            subject="precursor",
            ok=True,
            text=f"{__version__} on Python {platform.python_version()}, {platform.machine()} {platform.system()}",
        ),
        *_database(settings),
        _broker(settings),
    ]


def _database(settings: Settings) -> list[Finding]:
    kind = "embedded" if settings.database.dsn is None else "from settings"
    if settings.database.dsn is None and not has_embedded_database(settings.data_dir):
        text = f"(embedded) none in {settings.data_dir.absolute()} yet; `precursor up` would make it"
        return [Finding(subject="database", ok=True, text=text)]
    try:
        with parts.database(settings) as dsn:
            state = preflight.inspect(dsn)
    except PrecursorError as error:
        return [Finding(subject="database", ok=False, text=f"({kind}) {error}")]
    edition = f"{state.edition} {state.edition_version}".strip()
    return [
        Finding(subject="database", ok=True, text=f"({kind}) PostgreSQL {state.server}, edition {edition}"),
        Finding(
            subject="schema",
            ok=state.current,
            text=f"revision {state.revision}"
            if state.current
            else f"revision {state.revision or 'none'}, this program needs {state.newest}: run `precursor migrate`",
        ),
    ]


def _broker(settings: Settings) -> Finding:
    host, port = settings.mqtt.host, settings.mqtt.port
    if host is None:
        found = running_broker(settings.data_dir)
        if found is not None:
            return Finding(
                subject="broker",
                ok=True,
                text=f"(embedded) {found.kind} answers on {found.host}:{found.port}",
            )
        program = find_mosquitto()
        text = f"mosquitto at {program}" if program else "amqtt: slow, and forgets its queue when it stops"
        return Finding(subject="broker", ok=True, text=f"(embedded) not running; `precursor up` would start {text}")
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=5):
        return Finding(subject="broker", ok=True, text=f"{host}:{port} answers")
    return Finding(
        subject="broker",
        ok=False,
        text=f"{host}:{port} does not answer: is it running, and is PRECURSOR_MQTT__HOST right?",
    )
