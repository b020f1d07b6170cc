"""The database and the broker a command works with: real ones where settings name them, else the embedded ones."""

import contextlib
import uuid
from collections.abc import Iterator
from datetime import timedelta

from ingest.limits import DoorLimits
from ingest.mqtt_options import MqttOptions
from precursor.embedded import embedded_broker, embedded_database, running_broker
from precursor.settings import CompressionSettings, RetentionSettings, Settings
from telemetry.errors import ConfigurationError
from telemetry.retention import Policy
from telemetry.series import SeriesClass

__all__ = [
    "broker",
    "database",
    "door_limits",
    "echo_topic",
    "mqtt_options",
    "reachable_broker",
    "retention_policy",
]


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The address of the database; the embedded one runs at least as long as the context."""
    if settings.database.dsn is not None:
        yield settings.database.dsn
        return
    with embedded_database(settings.data_dir) as dsn:
        yield dsn


@contextlib.contextmanager
def broker(settings: Settings) -> Iterator[MqttOptions]:
    """How to reach the broker; the embedded one runs at least as long as the context."""
    if settings.mqtt.host is not None:
        yield mqtt_options(settings, settings.mqtt.host, settings.mqtt.port)
        return
    with embedded_broker(settings.data_dir, port=settings.mqtt.port) as found:
        yield mqtt_options(settings, found.host, found.port)


def reachable_broker(settings: Settings) -> MqttOptions:
    """The broker that somebody else runs: named by settings, or the embedded one of a running `precursor up`.

    Raises:
        ConfigurationError: neither is there.
    """
    if settings.mqtt.host is not None:
        return mqtt_options(settings, settings.mqtt.host, settings.mqtt.port)
    found = running_broker(settings.data_dir)
    if found is None:
        raise ConfigurationError(
            f"no broker runs in {settings.data_dir}: start `precursor up` in another terminal,"
            " or name a broker with PRECURSOR_MQTT__HOST"
        )
    return mqtt_options(settings, found.host, found.port)


def echo_topic(settings: Settings) -> str | None:
    """Where a publisher talks to itself before it leaves the embedded broker; a real broker needs no such care."""
    return None if settings.mqtt.host is not None else f"precursor/echo/{uuid.uuid4().hex}"


def mqtt_options(settings: Settings, host: str, port: int) -> MqttOptions:
    """The settings of the MQTT connection, for this broker."""
    mqtt = settings.mqtt
    return MqttOptions(
        host=host,
        port=port,
        client_id=mqtt.client_id,
        protocol=mqtt.protocol,
        username=mqtt.username,
        password=None if mqtt.password is None else mqtt.password.get_secret_value(),
        ca_file=mqtt.ca_file,
        cert_file=mqtt.cert_file,
        key_file=mqtt.key_file,
        max_unacknowledged=mqtt.max_unacknowledged,
    )


def door_limits(settings: Settings) -> DoorLimits:
    """What readings the engine, an import and a release let in."""
    return DoorLimits(
        max_payload_bytes=settings.ingest.max_payload_bytes,
        max_waveform_bytes=settings.ingest.max_waveform_bytes,
        max_sparkplug_bytes=settings.ingest.max_sparkplug_bytes,
        earliest=settings.ingest.earliest,
        max_future_s=settings.ingest.max_future_s,
        max_age_s=None if settings.retention.readings_days is None else settings.retention.readings_days * 86_400.0,
    )


def retention_policy(settings: Settings) -> Policy:
    """What the settings keep and compress."""
    return Policy(keep=_ages(settings.retention), compress_after=_ages(settings.compression))


def _ages(section: RetentionSettings | CompressionSettings) -> dict[SeriesClass, timedelta]:
    days = {kind: getattr(section, f"{kind.value}_days") for kind in SeriesClass}
    return {kind: timedelta(days=count) for kind, count in days.items() if count is not None}
