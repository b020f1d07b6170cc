"""Mosquitto's files: who may do what, how passwords are kept. What a broker makes of them: test_broker_security.py."""

import base64
import hashlib
import io
import stat
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from precursor.broker_files import (
    Access,
    BrokerOptions,
    access_list,
    configuration,
    sparkplug_groups,
    users_of,
    write_files,
)
from precursor.broker_passwords import delete_password, hash_password, set_password
from precursor.cli.broker import broker
from precursor.plantfile import PlantDefinition, read_plant_file
from precursor.plantfile.definition import SensorDefinition, SiteDefinition
from telemetry.errors import ConfigurationError
from telemetry.plant import Gateway, PayloadFormat, SensorKind

ROOT = Path(__file__).parents[2]
GOOD = "correct horse battery"


def plant(*topics: str, name: str = "gw") -> PlantDefinition:
    gateways = [
        Gateway(
            name=f"{name}-{number}",
            site="works",
            topic=topic,
            format=PayloadFormat.SPARKPLUG_B if topic.startswith("spBv1.0") else PayloadFormat.JSON,
        )
        for number, topic in enumerate(topics)
    ]
    return PlantDefinition(
        sites=(SiteDefinition(name="works", title="", subscribe=("works/#",)),), gateways=tuple(gateways)
    )


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_a_gateway_may_write_its_topic_with_named_levels_as_wildcards_and_read_nothing() -> None:
    engine, gateway = users_of(plant("works/{line}/cell-{cell}/data"))
    assert gateway.write == ("works/+/+/data",)
    assert gateway.read == ()
    assert engine.read == ("#", "$SYS/#")
    assert engine.write == ()


def test_sensors_with_topics_of_their_own_belong_to_the_user_of_their_asset() -> None:
    users = {user.name: user for user in users_of(read_plant_file(ROOT / "examples" / "plant.yaml"))}
    assert set(users) == {"engine", "gw-1", "P-101"}
    assert users["gw-1"].write == ("northfield/gw-1/readings",)
    assert "northfield/P-101/vib_de" in users["P-101"].write


def test_sparkplug_edge_nodes_get_patterns_of_their_own_name_instead_of_topics() -> None:
    definition = plant("spBv1.0/North/#")
    [engine] = users_of(definition)
    assert engine.write == ("spBv1.0/STATE/+", "spBv1.0/North/NCMD/+", "spBv1.0/North/DCMD/+/+")
    text = access_list(users_of(definition), sparkplug_groups(definition))
    assert "pattern write spBv1.0/North/NDATA/%u" in lines(text)
    assert "pattern write spBv1.0/North/DDATA/%u/+" in lines(text)
    assert "pattern read spBv1.0/North/NCMD/%u" in lines(text)
    assert "pattern read spBv1.0/STATE/+" in lines(text)
    assert not any(line.startswith("pattern write") and "CMD" in line for line in lines(text))


@pytest.mark.parametrize(
    ("topic", "groups"),
    [("spBv1.0/{group}/#", ("+",)), ("spBv1.0/#", ("+",)), ("spBv1.0/A/#", ("A",)), ("works/a", ())],
)
def test_the_groups_are_those_of_the_plants_sparkplug_gateways(topic: str, groups: tuple[str, ...]) -> None:
    assert sparkplug_groups(plant(topic)) == groups


def test_a_device_called_like_the_engine_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--engine-user"):
        users_of(plant("works/a", name="engine"), engine_user="engine-0")


@pytest.mark.parametrize("topic", ["works/a\nuser b", "works/a ", "works/\x07"])
def test_a_topic_that_would_write_lines_of_its_own_is_refused(topic: str) -> None:
    sensor = SensorDefinition(
        name="P-1.t", title="", asset="P-1", kind=SensorKind.MEASURED, quantity="", unit="", topic=topic
    )
    with pytest.raises(ConfigurationError, match="cannot stand in the broker's access list"):
        access_list(users_of(PlantDefinition(sensors=(sensor,))))


def test_the_largest_packet_follows_what_the_engine_takes() -> None:
    assert "max_packet_size 4194304" in lines(configuration(BrokerOptions()))
    assert "max_packet_size 16777216" in lines(configuration(BrokerOptions(max_payload_bytes=1 << 20)))
    assert "max_packet_size 268435455" in lines(configuration(BrokerOptions(max_payload_bytes=1 << 28)))


def test_what_compose_ships_is_what_the_command_writes_for_a_trial() -> None:
    shipped = (ROOT / "docker" / "mosquitto" / "mosquitto.conf").read_text()
    assert shipped == configuration(BrokerOptions(access=Access.ANYBODY, tls=False, port=1883))


def test_queues_are_kept_by_snapshots_or_by_the_sqlite_plugin_never_by_both() -> None:
    snapshots = lines(configuration(BrokerOptions()))
    assert {"persistence true", "autosave_interval 1"} <= set(snapshots)
    sqlite = lines(configuration(BrokerOptions(sqlite_plugin="/usr/lib/mosquitto_persist_sqlite.so")))
    assert {"plugin /usr/lib/mosquitto_persist_sqlite.so", "plugin_opt_flush_period 0"} <= set(sqlite)
    assert not {"persistence true", "autosave_interval 1"} & set(sqlite)


def test_certificates_without_tls_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="need TLS"):
        write_files(tmp_path, plant("works/a"), BrokerOptions(access=Access.CERTIFICATE, tls=False))


def test_writing_again_keeps_the_passwords_and_renews_the_rest(tmp_path: Path) -> None:
    write_files(tmp_path, plant("works/a"), BrokerOptions())
    set_password(tmp_path / "passwd", "gw-0", GOOD)
    before = (tmp_path / "passwd").read_text()
    written = write_files(tmp_path, plant("works/a", "works/b"), BrokerOptions())
    assert {file.name for file in written} == {"mosquitto.conf", "acl"}
    assert (tmp_path / "passwd").read_text() == before
    assert "topic write works/b" in lines((tmp_path / "acl").read_text())


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="the broker's files"):
        write_files(tmp_path / "file", plant("works/a"), BrokerOptions())


def test_a_hash_is_salted_pbkdf2_with_sha_512() -> None:
    _, kind, iterations, salt, digest = hash_password(GOOD).split("$")
    assert kind == "7"
    raw = base64.b64decode(salt)
    assert len(raw) == 12
    assert base64.b64decode(digest) == hashlib.pbkdf2_hmac("sha512", GOOD.encode(), raw, int(iterations))
    assert hash_password(GOOD) != hash_password(GOOD)


def test_a_password_file_is_the_owners_alone_and_keeps_other_users(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    assert not set_password(file, "a", GOOD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    set_password(file, "b", GOOD)
    entry_of_a = file.read_text().splitlines()[0]
    assert set_password(file, "b", GOOD + "!")
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["a", "b"]
    assert file.read_text().splitlines()[0] == entry_of_a
    assert delete_password(file, "a")
    assert not delete_password(file, "a")
    assert [line.partition(":")[0] for line in file.read_text().splitlines()] == ["b"]
    assert [each.name for each in tmp_path.iterdir()] == ["passwd"], "no temporary file is left"


def test_a_password_file_open_to_others_is_closed_and_the_brokers_group_keeps_reading(tmp_path: Path) -> None:
    file = tmp_path / "passwd"
    file.touch()
    file.chmod(0o664)
    set_password(file, "a", GOOD)
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


@pytest.mark.parametrize("user", ["", "a:b", "a b", "a/b", "+", "#", "a\n", "x" * 65, "ü"])
def test_a_name_that_would_mean_something_else_to_the_broker_is_refused(tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a user"):
        set_password(tmp_path / "passwd", user, GOOD)


@pytest.mark.parametrize("password", ["", "short", "with a\ttabulator"])
def test_a_weak_or_unusable_password_is_refused(tmp_path: Path, password: str) -> None:
    with pytest.raises(ConfigurationError, match="password"):
        set_password(tmp_path / "passwd", "a", password)
    assert not (tmp_path / "passwd").exists()


def test_a_password_comes_from_standard_input_or_is_made_and_never_stands_among_the_arguments(tmp_path: Path) -> None:
    file = str(tmp_path / "passwd")
    run = CliRunner().invoke
    assert run(broker, ["password", file, "a"], input=GOOD + "\n").exit_code == 0
    salt = (tmp_path / "passwd").read_text().split("$")[3]
    assert f"a:{hash_password(GOOD, salt=base64.b64decode(salt))}\n" == (tmp_path / "passwd").read_text()
    made = run(broker, ["password", file, "b", "--generate"])
    assert len(made.stdout.strip()) == 32
    assert run(broker, ["password", file, "b", GOOD]).exit_code == 2
    assert run(broker, ["password", file, "b", "--delete"]).exit_code == 0
    assert run(broker, ["password", file, "b", "--delete"]).exit_code == 1


def test_a_password_typed_on_a_terminal_is_asked_for_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed = io.StringIO()
    typed.isatty = lambda: True  # type: ignore[method-assign]
    answers = iter([GOOD, GOOD])
    monkeypatch.setattr(sys, "stdin", typed)
    monkeypatch.setattr("click.termui.hidden_prompt_func", lambda _prompt: next(answers))
    broker.main(["password", str(tmp_path / "passwd"), "a"], standalone_mode=False)
    assert list(answers) == []
    assert (tmp_path / "passwd").read_text().startswith("a:$7$")
