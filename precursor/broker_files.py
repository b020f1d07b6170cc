"""Mosquitto's files for a plant: its configuration, and who may publish and read what."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from precursor.broker_passwords import replace_file, unwritable, user_name
from precursor.plantfile.definition import PlantDefinition
from telemetry.errors import ConfigurationError
from telemetry.plant import PayloadFormat

__all__ = [
    "Access", "BrokerOptions", "BrokerUser", "access_list", "configuration", "password_skeleton", "sparkplug_groups",
    "users_of", "write_files",
]  # fmt: skip

SPARKPLUG = "spBv1.0"
_PACKETS_PER_PAYLOAD = 16
"""the broker passes on this much more than the engine takes, so that the engine can say what was too large"""
_LONGEST_PACKET = 268_435_455
_LEVEL_NAME = re.compile(r"\{[^{}]*\}")


class Access(StrEnum):
    """Whom the broker lets in."""

    ANYBODY = "anybody"
    PASSWORD = "password"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """What a plant decides about its broker."""

    access: Access = Access.PASSWORD
    tls: bool = True
    folder: str = "/mosquitto/config"
    """where the broker finds these files"""
    data: str = "/mosquitto/data"
    """where it keeps its queues"""
    address: str = ""
    """to listen on; empty: all"""
    port: int = 8883
    sqlite_plugin: str = ""
    """Mosquitto 2.1 or newer: where its library mosquitto_persist_sqlite.so is; empty: snapshots, as 2.0 has them"""
    max_payload_bytes: int = 262_144
    """what the engine takes"""
    engine_user: str = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerUser:
    """A device, or the engine, as the broker knows it."""

    name: str
    write: tuple[str, ...] = ()
    """topic filters it may publish on"""
    read: tuple[str, ...] = ()
    """topic filters it may hear"""


def users_of(plant: PlantDefinition, engine_user: str = "engine") -> tuple[BrokerUser, ...]:
    """One user for each gateway and for each asset whose sensors publish by themselves; the engine first.

    Sparkplug edge nodes are not among them: a plant file need not name them. Each is a user called like the node,
    and what it may do follows from its name; see `access_list`.

    Raises:
        ConfigurationError: a device is called like the engine.
    """
    topics: dict[str, list[str]] = {}
    for gateway in plant.gateways:
        if gateway.format is not PayloadFormat.SPARKPLUG_B:
            topics.setdefault(gateway.name, []).append(_as_filter(gateway.topic))
    for sensor in plant.sensors:
        if sensor.topic is not None:
            topics.setdefault(sensor.asset, []).append(_as_filter(sensor.topic))
    if engine_user in topics:
        raise ConfigurationError(
            f"the plant has a gateway or an asset called {engine_user}, as the engine's user is; give the user another"
            " name with --engine-user"
        )
    groups = sparkplug_groups(plant)
    engine = BrokerUser(
        name=engine_user,
        read=("#", "$SYS/#"),
        write=tuple(
            dict.fromkeys(
                [f"{SPARKPLUG}/STATE/+"] * bool(groups)
                + [f"{SPARKPLUG}/{group}/NCMD/+" for group in groups]
                + [f"{SPARKPLUG}/{group}/DCMD/+/+" for group in groups]
            )
        ),
    )
    devices = (BrokerUser(name=name, write=tuple(dict.fromkeys(each))) for name, each in sorted(topics.items()))
    return (engine, *devices)


def sparkplug_groups(plant: PlantDefinition) -> tuple[str, ...]:
    """Groups whose edge nodes the plant listens to; + for any."""
    filters = [each.topic for each in plant.gateways if each.format is PayloadFormat.SPARKPLUG_B]
    levels = [_as_filter(each).split("/") for each in filters]
    groups = sorted({each[1] if len(each) > 1 and each[1] != "#" else "+" for each in levels})
    return ("+",) if "+" in groups else tuple(groups)


def access_list(users: Sequence[BrokerUser], groups: Iterable[str] = ()) -> str:
    """Mosquitto's `acl_file`. Whatever it does not name is refused.

    Raises:
        ConfigurationError: a name or a topic cannot be written there.
    """
    lines = [
        "# Written by `precursor broker files`. Who may publish on and hear which topics; all else is refused.",
        "# Mosquitto refuses silently where a device speaks MQTT 3.1.1: it is told that its message arrived. After a",
        "# change look for `Denied PUBLISH` in the broker's log, with log_type debug.",
    ]
    for user in users:
        lines += ["", f"user {user_name(user.name)}"]
        lines += [f"topic read {_topic(each)}" for each in user.read]
        lines += [f"topic write {_topic(each)}" for each in user.write]
    groups = tuple(groups)
    if groups:
        lines += ["", "# Every user, as the Sparkplug edge node of its own name (%u), and no other."]
    for group in groups:
        base = f"{SPARKPLUG}/{_topic(group)}"
        lines += [f"pattern write {base}/{kind}/%u" for kind in ("NBIRTH", "NDATA", "NDEATH")]
        lines += [f"pattern write {base}/{kind}/%u/+" for kind in ("DBIRTH", "DDATA", "DDEATH")]
        lines += [f"pattern read {base}/NCMD/%u", f"pattern read {base}/DCMD/%u/+"]
    if groups:
        lines.append(f"pattern read {SPARKPLUG}/STATE/+")
    return "\n".join(lines) + "\n"


def password_skeleton(users: Iterable[BrokerUser]) -> str:
    """A password file in which nobody has a password yet."""
    lines = ["# Nobody gets in without a line here: precursor broker password FILE USER"]
    return "\n".join(lines + [f"# {user_name(user.name)}" for user in users]) + "\n"


def configuration(options: BrokerOptions) -> str:
    """Mosquitto's configuration, 2.0 or newer."""
    folder = options.folder.rstrip("/")
    packet = min(_PACKETS_PER_PAYLOAD * options.max_payload_bytes, _LONGEST_PACKET)
    door = [f"listener {options.port} {options.address}".rstrip()]
    if options.tls:
        door += [f"certfile {folder}/server.crt", f"keyfile {folder}/server.key"]
    if options.access is Access.CERTIFICATE:
        door += [
            "# Whoever has a certificate of this authority; its common name is the user in the access list.",
            f"cafile {folder}/ca.crt",
            "require_certificate true",
            "use_identity_as_username true",
        ]
    if options.access is Access.ANYBODY:
        door += ["allow_anonymous true"]
    else:
        door += ["allow_anonymous false", f"acl_file {folder}/acl"]
    if options.access is Access.PASSWORD:
        door += [f"password_file {folder}/passwd"]
    store = _SQLITE.format(plugin=options.sqlite_plugin) if options.sqlite_plugin else _SNAPSHOTS
    return _CONFIGURATION.format(
        data=options.data.rstrip("/"),
        store=store,
        payload=options.max_payload_bytes,
        packet=packet,
        door="\n".join(door),
    )


def write_files(out: Path, plant: PlantDefinition, options: BrokerOptions) -> list[Path]:
    """Write configuration, access list and password file into a folder; the files written.

    A password file that is there already is left alone.

    Raises:
        ConfigurationError: a certificate is asked for without TLS, the plant's names do not fit, or the folder cannot
            be written.
    """
    if options.access is Access.CERTIFICATE and not options.tls:
        raise ConfigurationError("client certificates need TLS")
    users = users_of(plant, options.engine_user)
    files = {"mosquitto.conf": configuration(options)}
    if options.access is not Access.ANYBODY:
        files["acl"] = access_list(users, sparkplug_groups(plant))
    passwords = out / "passwd"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if options.access is Access.PASSWORD and not passwords.exists():
            files[passwords.name] = password_skeleton(users)
        for name, text in files.items():
            replace_file(out / name, text, mode=0o600 if name == passwords.name else 0o644)
    except OSError as error:
        raise unwritable(error) from error
    return [out / name for name in files]


def _topic(topic: str) -> str:
    if topic != topic.strip() or not topic.isprintable():
        raise ConfigurationError(f"the topic {topic[:200]!r} cannot stand in the broker's access list")
    return topic


def _as_filter(topic: str) -> str:
    return "/".join("+" if _LEVEL_NAME.search(level) else level for level in topic.split("/"))


_SNAPSHOTS = """\
persistence true
# How often Mosquitto writes all its queues to disk (it takes one second more); it also does when it is stopped in
# order, but not when it is killed or loses power: what it acknowledged since is lost then, where the engine did not
# have it yet. Its default is 30 minutes. With more than a million messages waiting each time takes seconds. Seconds.
autosave_interval 1"""

_SQLITE = """\
plugin {plugin}
# Each message is on disk a moment after it is acknowledged, instead of every 5 seconds, and survives a power cut.
plugin_opt_flush_period 0
plugin_opt_sync full"""

_CONFIGURATION = """\
# Mosquitto as Precursor needs it: nothing that was acknowledged to a device may be lost before it is stored.
# Written by `precursor broker files`; see docs/security.md and docs/no-loss.md.

# The engine keeps a session and acknowledges a message only after it is committed to the database. While the
# engine or its database is away, the broker queues; with persistence the queue survives a restart of the broker.
persistence_location {data}/
{store}

# The defaults are made for small devices and hurt a consumer that acknowledges after COMMIT:
# 20 messages in flight (then one commit carries at most 20 messages) ...
max_inflight_messages 0
# ... and 1000 waiting, after which messages are dropped although their sender was told that they arrived.
# 0 means no limit: memory and disk are. A message takes about its payload plus 200 bytes.
max_queued_messages 0
max_queued_bytes 0

# A client that sends more than this in one packet is disconnected, which somebody notices; message_size_limit
# would acknowledge the message and drop it. Well above what the engine takes ({payload} bytes,
# PRECURSOR_INGEST__MAX_PAYLOAD_BYTES), so that a message too large for the engine ends in its table of rejected
# messages, with a reason. Bytes.
max_packet_size {packet}

# Small packets leave at once instead of waiting for company.
set_tcp_nodelay true

# Sessions never expire (no persistent_client_expiration): an engine that is down over the holidays finds
# everything when it returns.

log_dest stdout
log_type error
log_type warning
log_type notice
connection_messages true

{door}
"""
