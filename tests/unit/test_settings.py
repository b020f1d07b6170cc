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
