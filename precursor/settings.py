"""Settings: one frozen object, read once in `main()`, from `PRECURSOR_*` and `precursor.toml`, handed down."""

import difflib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from telemetry.errors import ConfigurationError

__all__ = ["CompressionSettings", "ModelSettings", "RetentionSettings", "Settings", "read_settings"]

_FILE = "precursor.toml"


def _none(value: object) -> object:
    """`none` in words: the environment cannot unset a default otherwise."""
    return None if isinstance(value, str) and value.strip().lower() in ("", "none") else value


Days = Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, BeforeValidator(_none)]
"""an age in days"""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DatabaseSettings(_Section):
    """The database."""

    dsn: str | None = Field(
        default=None,
        description="PostgreSQL address, `postgresql://user:password@host/name`; unset: the embedded one",
    )


class MqttSettings(_Section):
    """The broker."""

    host: str | None = Field(default=None, description="broker's host name; unset: the embedded one")
    port: int = Field(default=1883, ge=1, le=65535, description="broker's port")
    protocol: Literal["3.1.1", "5"] = Field(default="3.1.1", description="MQTT version")
    client_id: str = Field(
        default="precursor-engine", min_length=1, description="names the persistent session; one engine each"
    )
    username: str | None = Field(default=None, description="user name")
    password: SecretStr | None = Field(default=None, description="password")
    ca_file: Path | None = Field(default=None, description="certificate authority of the broker; switches TLS on")
    cert_file: Path | None = Field(default=None, description="client certificate")
    key_file: Path | None = Field(default=None, description="key of the client certificate")
    max_unacknowledged: int = Field(
        default=20_000, ge=1, description="messages held in memory before the broker is made to wait"
    )


class SparkplugSettings(_Section):
    """The Sparkplug B host, where the plant has gateways of that format."""

    mode: Literal["secondary_passive", "secondary_active", "primary"] = Field(
        default="secondary_passive",
        description="passive only listens; active asks for births and sends commands; for a primary edge nodes wait",
    )
    host_id: str = Field(
        default="precursor",
        min_length=1,
        pattern=r"^[^/+#\x00]+$",
        description="names a primary host at edge nodes, and the topic of its state",
    )
    reorder_s: float = Field(
        default=2.0, ge=0, description="how long a message that is missing in a sequence is waited for, s"
    )
    rebirth_interval_s: float = Field(
        default=5.0, gt=0, description="an edge node is asked for its birth at most this often, s"
    )


class IngestSettings(_Section):
    """Batches, and what is turned away at the door."""

    batch_messages: int = Field(default=10_000, ge=1, description="messages in one transaction at most")
    batch_bytes: int = Field(
        default=1_048_576, ge=1024, description="payload in one transaction at most, to within a message, bytes"
    )
    batch_wait_s: float = Field(default=0.03, gt=0, le=10, description="how long a batch is collected, s")
    max_payload_bytes: int = Field(default=262_144, ge=16, description="larger payloads are rejected, bytes")
    max_waveform_bytes: int = Field(
        default=1_048_576, ge=16, description="the same where a gateway's format carries waveforms, bytes"
    )
    max_sparkplug_bytes: int = Field(default=4_194_304, ge=16, description="the same for Sparkplug B, bytes")
    earliest: datetime = Field(
        default=datetime(2000, 1, 1, tzinfo=UTC), description="readings of earlier times are rejected"
    )
    max_future_s: float = Field(default=600.0, ge=0, description="readings further ahead of our clock are rejected, s")


class RetentionSettings(_Section):
    """How long each class of series is kept, at least."""

    readings_days: Days = Field(default=None, description="readings older than this go, days; unset: kept for ever")
    minutes_days: Days = Field(default=None, description="the same for rollups of readings by minute")
    hours_days: Days = Field(default=None, description="the same for rollups by hour")
    days_days: Days = Field(default=None, description="the same for rollups by day")
    states_days: Days = Field(default=None, description="the same for states of assets, which KPIs are made of")
    waveforms_days: Days = Field(default=None, description="the same for waveforms")

    @model_validator(mode="after")
    def _rollups_outlive_readings(self) -> Self:
        """A late reading is counted into its hour and day again, and those are made of all their minutes and hours."""
        for name in ("minutes_days", "hours_days", "days_days", "states_days"):
            days = getattr(self, name)
            if days is not None and (self.readings_days is None or days < self.readings_days):
                kept = "for ever" if self.readings_days is None else f"{self.readings_days} days"
                shorter = f"PRECURSOR_RETENTION__READINGS_DAYS to at most {days}"
                raise PydanticCustomError(
                    "retention",
                    "PRECURSOR_RETENTION__{name} is {days}, but readings are kept {kept}: a late reading would be"
                    " counted into rollups of which the rest is gone. Set {shorter}, or unset {name}",
                    {"name": name.upper(), "days": days, "kept": kept, "shorter": shorter},
                )
        return self


class CompressionSettings(_Section):
    """From which age each class of series is compressed, where the database can: TimescaleDB's community edition."""

    readings_days: Days = Field(default=14, description="readings older than this are compressed, days; none: never")
    minutes_days: Days = Field(default=60, description="the same for rollups of readings by minute")
    hours_days: Days = Field(default=90, description="the same for rollups by hour")
    days_days: Days = Field(default=None, description="the same for rollups by day")
    states_days: Days = Field(default=None, description="the same for states of assets")
    waveforms_days: Days = Field(
        default=None, description="the same for waveforms, whose samples are compressed in themselves already"
    )


class EvaluationSettings(_Section):
    """Rules and detectors."""

    lateness_s: float = Field(
        default=0.0,
        ge=0,
        description="how long evaluation waits for readings that arrive out of order, s of event time",
    )
    align_s: float = Field(
        default=10.0,
        ge=0,
        description="how far a rule over several sensors waits for the slowest of them, s of event time",
    )
    score_every_s: float = Field(
        default=300.0,
        gt=0,
        description="a score that says nothing new is stored this often, s of event time; one that crosses its limit,"
        " or moves beyond it, always is",
    )
    settle_s: float = Field(
        default=10_800.0,
        ge=0,
        description="so long after a machine started detectors do not score it: it has to become warm first, s of event"
        " time",
    )
    silence_s: float = Field(
        default=5.0,
        gt=0,
        description="a sensor silent for this long no longer holds up a delay that has run out, s",
    )
    tell_within_s: float | None = Field(
        default=None,
        gt=0,
        description="an alarm that is learnt of later than this after it began is told only if it still stands, s;"
        " none: always, as a replay of old data wants it",
    )


class ModelSettings(_Section):
    """Trained models."""

    watch_every_h: int = Field(
        default=24, gt=0, description="how often models in use and in shadow are looked at: drift of inputs, alarms, h"
    )
    retrain_at: str = Field(
        default="0 3 1 * *",
        description="when models in use are trained anew, into shadow: minute hour day month weekday, as in cron, UTC",
    )
    retrain_days: int = Field(default=90, gt=0, description="how far back that training looks, days")

    @field_validator("retrain_at")
    @classmethod
    def _is_crontab(cls, found: str) -> str:
        from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415 - only who sets it pays for it

        try:
            CronTrigger.from_crontab(found)
        except ValueError as error:
            raise ValueError(f"{found!r} is no crontab line: {error}; expected e.g. '0 3 1 * *'") from error
        return found


class ApiSettings(_Section):
    """The HTTP interface."""

    host: str = Field(default="127.0.0.1", description="address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0: any free one")


class WorkOrderSettings(_Section):
    """Where work orders are told."""

    webhook_url: str | None = Field(default=None, description="POST every work-order event here as a CloudEvent")
    webhook_secret: SecretStr | None = Field(default=None, description="key of the HMAC signature on each event")
    file: Path | None = Field(
        default=None, description="append every work-order event to this file, one JSON object a line"
    )


class LogSettings(_Section):
    """The engine's own log, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="least level written")
    format: Literal["auto", "text", "json"] = Field(default="auto", description="auto: text on a terminal, else JSON")


class Settings(BaseSettings):
    """Everything that can be set, frozen."""

    model_config = SettingsConfigDict(
        env_prefix="PRECURSOR_", env_nested_delimiter="__", frozen=True, extra="forbid", toml_file=_FILE
    )

    data_dir: Path = Field(
        default=Path("precursor-data"),
        description="folder of the embedded database and broker, kept between runs",
    )
    database: DatabaseSettings = DatabaseSettings()
    mqtt: MqttSettings = MqttSettings()
    sparkplug: SparkplugSettings = SparkplugSettings()
    ingest: IngestSettings = IngestSettings()
    retention: RetentionSettings = RetentionSettings()
    compression: CompressionSettings = CompressionSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    models: ModelSettings = ModelSettings()
    api: ApiSettings = ApiSettings()
    work_orders: WorkOrderSettings = WorkOrderSettings()
    log: LogSettings = LogSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def read_settings(**overrides: Any) -> Settings:
    """Settings from `PRECURSOR_*` and `precursor.toml` of the working folder.

    Raises:
        ConfigurationError: a value is not what it should be; the message names the setting.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "".join(f"\n  {_problem(details)}" for details in error.errors())
        raise ConfigurationError(f"settings that do not fit:{problems}") from error
    except ValueError as error:  # TOML that cannot be read
        raise ConfigurationError(f"{_FILE}: {error}") from error


def _problem(details: ErrorDetails) -> str:
    """One wrong setting in a line, with the closest name where there is no such setting."""
    *above, name = details["loc"]
    said = details["msg"]
    if details["type"] == "extra_forbidden":
        model: type[BaseModel] = Settings
        for part in above:
            model = type(model.model_fields[str(part)].default)
        close = difflib.get_close_matches(str(name), model.model_fields, n=1)
        said = "there is no such setting" + (f"; do you mean {close[0]}?" if close else "; see docs/settings.md")
    return f"{'.'.join(str(part) for part in details['loc'])}: {said}"
