"""docker-compose.yml and what it mounts: checked without Docker."""

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from dashboards.target import DATASOURCE_UID
from precursor.settings import Settings

ROOT = Path(__file__).parents[2]


def _yaml(path: str) -> Any:
    return YAML(typ="safe").load((ROOT / path).read_text(encoding="utf-8"))


COMPOSE = _yaml("docker-compose.yml")
SERVICES = sorted(COMPOSE["services"])


@pytest.mark.parametrize("name", SERVICES)
def test_everything_mounted_exists(name: str) -> None:
    for mount in COMPOSE["services"][name].get("volumes", []):
        source, _, mode = (*mount.split(":"), "")[:3]
        if source.startswith("."):
            assert (ROOT / source).exists()
            assert mode == "ro"
        else:
            assert source in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_on_loopback_only(name: str) -> None:
    ports = COMPOSE["services"][name]["ports"]
    assert ports
    assert all(str(port).startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("name", SERVICES)
def test_image_is_pinned(name: str) -> None:
    _, _, tag = COMPOSE["services"][name]["image"].partition(":")
    assert re.match(r"\d+\.\d+\.\d+", tag)


@pytest.mark.parametrize("name", SERVICES)
def test_service_starts_again_and_says_how_it_is(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["restart"] == "unless-stopped"
    # The engine's stands in its Dockerfile.
    assert "healthcheck" in service or "build" in service
    for other in service.get("depends_on", {}).values():
        assert other["condition"] == "service_healthy"


def test_no_secret_has_a_default_and_the_example_names_each() -> None:
    text = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    names = set(re.findall(r"\$\{(\w*PASSWORD\w*)", text))
    assert names
    assert set(re.findall(r"\$\{(\w*PASSWORD\w*):\?", text)) == names
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == names


def test_engine_is_given_settings_that_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    given = COMPOSE["services"]["engine"]["environment"]
    for name, value in given.items():
        if name.startswith("PRECURSOR_"):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.database.dsn == "postgresql://precursor@database:5432/precursor"
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker", 1883)
    assert (settings.api.host, settings.api.port) == ("0.0.0.0", 8000)
    assert {"database", "broker"} <= set(SERVICES)


def test_grafana_gets_the_data_source_that_the_boards_ask() -> None:
    (source,) = _yaml("docker/grafana/provisioning/datasources/precursor.yaml")["datasources"]
    assert source["uid"] == DATASOURCE_UID
    assert source["url"] == "database:5432"
    assert source["jsonData"]["database"] == COMPOSE["services"]["database"]["environment"]["POSTGRES_DB"]
    # The database's image runs the script only where it may be executed, and would source it otherwise.
    assert os.access(ROOT / "docker/grafana/reader.sh", os.X_OK)
    reader = (ROOT / "docker/grafana/reader.sh").read_text(encoding="utf-8")
    assert f"CREATE ROLE {source['user']} " in reader
    password = source["secureJsonData"]["password"].removeprefix("$")
    assert password in COMPOSE["services"]["grafana"]["environment"]


def test_grafana_finds_the_boards_where_they_are_mounted() -> None:
    (provider,) = _yaml("docker/grafana/provisioning/dashboards/precursor.yaml")["providers"]
    mounts = [mount.split(":") for mount in COMPOSE["services"]["grafana"]["volumes"]]
    sources = {target: source for source, target, *_ in mounts}
    assert sources[provider["options"]["path"]] == "./dashboards/json"
    home = COMPOSE["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (ROOT / "dashboards/json" / Path(home).name).is_file()


def test_image_of_the_engine_holds_every_package_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    dockerfile = (ROOT / "docker/engine/Dockerfile").read_text(encoding="utf-8")
    copied = {part for line in re.findall(r"^COPY (?!--)(.+)$", dockerfile, re.MULTILINE) for part in line.split()[:-1]}
    assert set(packages) <= copied
    assert all((ROOT / part).exists() for part in copied)
    # What the build context leaves out cannot be copied.
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{part}" for part in copied} <= set(ignored)
    assert "--require-hashes" in dockerfile
    assert "/health/live" in dockerfile
    assert re.search(r"^USER (?!root)", dockerfile, re.MULTILINE)
