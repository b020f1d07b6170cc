"""What the figures were taken on; nothing in it tells where the machine stands or what it is called."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg

from precursor import __version__
from precursor.embedded import find_mosquitto, running_broker
from precursor.settings import Settings
from telemetry import schema

__all__ = ["broker_kind", "describe", "describe_broker"]

_SERVER_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "max_wal_size")


def describe(settings: Settings, *, dsn: str, sizes: str, broker: str | None) -> dict[str, object]:
    """The machine, the database at `dsn` and the broker (None: no part of this run), as a JSON object.

    Raises:
        DatabaseUnavailableError: nothing answers at `dsn`.
    """
    state = schema.inspect(dsn)
    with psycopg.connect(dsn) as connection:
        server = {
            name: connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in _SERVER_SETTINGS
        }
    return {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "sizes": sizes,
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1m": round(os.getloadavg()[0], 2),
        "os": _system(),
        "python": platform.python_version(),
        "precursor": __version__,
        "postgres": state.server.split()[0],
        "edition": " ".join(filter(None, (state.edition, state.edition_version))),
        "database": "embedded" if settings.database.dsn is None else "named by settings",
        "server_settings": ", ".join(f"{name} {row[0]}" for name, row in server.items() if row is not None),
        "broker": broker,
    }


def broker_kind(settings: Settings) -> str | None:
    """`mosquitto` or `amqtt` of the embedded broker that runs; None: it is one that settings name."""
    found = None if settings.mqtt.host is not None else running_broker(settings.data_dir)
    return None if found is None else found.kind


def describe_broker(settings: Settings) -> str:
    """Which broker the run was made on, and the version of MQTT spoken to it."""
    match broker_kind(settings):
        case "mosquitto":
            name = _mosquitto()
        case "amqtt":
            name = "amqtt (no mosquitto here; it keeps no queue, so messages come while they are taken)"
        case _:
            name = "named by settings"
    return f"{name}, MQTT {settings.mqtt.protocol}"


def _mosquitto() -> str:
    program = find_mosquitto()
    if program is None:
        return "mosquitto"
    # It answers with its version and how to call it, and with an exit status that means nothing.
    said = subprocess.run([program, "-h"], capture_output=True, text=True, timeout=10, check=False).stdout
    first = (said.splitlines() or [""])[0].split()
    return f"mosquitto {first[2]}" if first[:2] == ["mosquitto", "version"] else "mosquitto"


def _cpu() -> str:
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _system() -> str:
    # Not the kernel's release: clouds put their name into it.
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.machine()}"
