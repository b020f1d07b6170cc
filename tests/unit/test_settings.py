"""Settings: read once, frozen, complete in the docs."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from precursor.settings import Settings, read_settings
from telemetry.errors import ConfigurationError

DOCS = Path(__file__).resolve().parents[2] / "docs" / "settings.md"


def variables(model: type[BaseModel], prefix: str = "PRECURSOR_") -> list[str]:
    names = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names += variables(kind, f"{prefix}{name.upper()}__")
        else:
            names.append(f"{prefix}{name.upper()}")
            assert field.description, f"{name} has no description"
    return names


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in variables(Settings):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", variables(Settings))
def test_every_setting_is_documented(name: str) -> None:
    assert f"`{name}`" in DOCS.read_text()


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("precursor.toml").write_text('[mqtt]\nhost = "broker.plant"\nport = 1884\n')
    monkeypatch.setenv("PRECURSOR_MQTT__PORT", "8883")
    settings = read_settings()
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker.plant", 8883)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        read_settings().data_dir = Path("elsewhere")  # type: ignore[misc] # that it is forbidden is the case


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[mqtt]\nport = 70000\n", "mqtt.port"),
        ("[mqtt]\nhots = 'x'\n", "mqtt.hots: there is no such setting; do you mean host"),
        ("[mqtt\n", "precursor.toml"),
    ],
)
def test_a_wrong_value_is_refused_by_name(content: str, said: str) -> None:
    Path("precursor.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        read_settings()


def test_passwords_do_not_show() -> None:
    settings = read_settings(mqtt={"password": "s3cret"})
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ({"readings_days": 90, "minutes_days": 30}, "MINUTES_DAYS is 30, but readings are kept 90 days"),
        ({"hours_days": 365}, "HOURS_DAYS is 365, but readings are kept for ever"),
        ({"readings_days": 90, "states_days": 89}, "STATES_DAYS to at most 89|READINGS_DAYS to at most 89"),
        ({"readings_days": 0}, "retention.readings_days: .*greater than or equal to 1"),
        ({"readings_days": "soon"}, "retention.readings_days: .*integer"),
    ],
    ids=["shorter than readings", "readings for ever", "what to set", "nothing kept", "no number"],
)
def test_what_would_make_rollups_wrong_is_refused(kept: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_settings(retention=kept)


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"readings_days": 30},
        {"readings_days": 30, "minutes_days": 30, "hours_days": 30, "days_days": 30, "states_days": 30},
        {"readings_days": 30, "minutes_days": 400, "hours_days": 60},
        {"waveforms_days": 7},
    ],
    ids=["for ever", "readings alone", "all alike", "hours shorter than minutes", "waveforms by themselves"],
)
def test_what_leaves_rollups_right_is_taken(kept: dict[str, int]) -> None:
    assert read_settings(retention=kept).retention.model_dump(exclude_none=True) == kept


def test_compression_can_be_switched_off_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_settings().compression.readings_days == 14
    monkeypatch.setenv("PRECURSOR_COMPRESSION__READINGS_DAYS", "none")
    assert read_settings().compression.readings_days is None
    Path("precursor.toml").write_text('[compression]\nminutes_days = "none"\nhours_days = 90\n')
    assert read_settings().compression.minutes_days is None
    assert read_settings().compression.hours_days == 90
