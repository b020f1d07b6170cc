"""What `precursor doctor` looks at."""

import asyncio
import platform
import queue
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import paho.mqtt.client as mqtt
import psycopg
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from ingest.mqtt import MqttOptions
from precursor import __version__, parts, preflight
from precursor.disk import disk_usage, size
from precursor.embedded import find_mosquitto, has_embedded_database, running_broker
from precursor.settings import Settings
from telemetry.errors import ConfigurationError, PrecursorError
from telemetry.in_place import upgrade_offered

__all__ = ["Finding", "examine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    subject: str
    ok: bool
    text: str
    """what was found, and what to do where it is not right"""
    details: Mapping[str, object] = field(default_factory=dict)
    """figures behind the text, for programs"""

    def as_json(self) -> dict[str, object]:
        """The finding as a JSON object."""
        return {"subject": self.subject, "ok": self.ok, "text": self.text, **self.details}


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
            disk = _disk(settings, dsn) if state.current else []
            with psycopg.connect(dsn) as connection:
                offered = upgrade_offered(connection)
    except PrecursorError as error:
        return [Finding(subject="database", ok=False, text=f"({kind}) {error}")]
    edition = f"{state.edition} {state.edition_version}".strip()
    return [
        Finding(
            subject="database",
            ok=True,
            text=f"({kind}) PostgreSQL {state.server}, edition {edition}{f'; {offered}' if offered else ''}",
        ),
        Finding(
            subject="schema",
            ok=state.current,
            text=f"revision {state.revision}"
            if state.current
            else f"revision {state.revision or 'none'}, this program needs {state.newest}: run `precursor migrate`",
        ),
        *disk,
    ]


def _disk(settings: Settings, dsn: str) -> list[Finding]:
    """What each class of series takes, and the rest."""
    try:
        found = asyncio.run(disk_usage(dsn, parts.retention_policy(settings), datetime.now(UTC)))
    except asyncpg.InsufficientPrivilegeError as error:
        return [Finding(subject="disk", ok=True, text=f"not known: {error}")]
    ability = "" if found.compresses else "; nothing is compressed: only TimescaleDB's community edition can"
    return [
        *(
            Finding(subject=f"disk, {usage.kind.value}", ok=True, text=usage.text(), details=usage.as_json())
            for usage in found.classes
        ),
        Finding(
            subject="disk, all",
            ok=True,
            text=f"{size(found.total_bytes)}, of it rejected {size(found.rejected_bytes)}, evaluation's journal"
            f" {size(found.journal_bytes)}, plant, alarms and the rest {size(found.other_bytes)}{ability}",
            details=found.as_json(),
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
    try:
        said = _log_in(parts.mqtt_options(settings, host, port))
    except ConfigurationError as error:
        said = str(error)
    if said is None:
        return Finding(subject="broker", ok=True, text=f"{host}:{port} lets us in")
    return Finding(subject="broker", ok=False, text=f"{host}:{port}: {said}")


def _log_in(options: MqttOptions) -> str | None:
    """Connect and leave; what is wrong, None where nothing is."""
    answers: queue.Queue[ReasonCode] = queue.Queue()
    # A name of our own: a second client of the engine's name would throw the engine out.
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"precursor-doctor-{uuid.uuid4().hex[:8]}")
    client.on_connect = lambda _client, _data, _flags, code, _properties: answers.put(code)
    client.connect_timeout = _TIMEOUT_S
    if options.username is not None:
        client.username_pw_set(options.username, options.password)
    context = options.tls_context()
    if context is not None:
        client.tls_set_context(context)
    try:
        client.connect(options.host, options.port)
    except (OSError, ValueError) as error:
        return f"{error}; is it running, and are PRECURSOR_MQTT__HOST, __PORT and __CA_FILE right?"
    client.loop_start()
    try:
        code = answers.get(timeout=_TIMEOUT_S)
    except queue.Empty:
        hint = "; if it speaks TLS, set PRECURSOR_MQTT__CA_FILE" if context is None else ""
        return f"it listens, but does not answer as an MQTT broker{hint}"
    finally:
        client.disconnect()
        client.loop_stop()
    return f"refused: {code}; check PRECURSOR_MQTT__USERNAME and __PASSWORD" if code.is_failure else None


_TIMEOUT_S = 5.0
