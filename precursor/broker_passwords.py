"""Mosquitto's password file: who has a password, and how it is kept."""

import base64
import hashlib
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from telemetry.errors import ConfigurationError

__all__ = ["delete_password", "hash_password", "replace_file", "set_password", "unwritable", "user_name"]

SHORTEST_PASSWORD = 12
"""characters; a generated one has 32"""
ITERATIONS = 10_000
"""of PBKDF2. Mosquitto computes them at each CONNECT and serves nobody meanwhile, some 10 to 20 ms: hundreds of
gateways that return together after an outage must not cost minutes, so strength has to come from the password"""
_SALT_BYTES = 12
"""Mosquitto 2.0 takes no other length"""
_USER = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def hash_password(password: str, *, salt: bytes | None = None, iterations: int = ITERATIONS) -> str:
    """A password as Mosquitto keeps it: $7$, PBKDF2 with SHA-512, iterations, salt and hash in base64."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations)
    return f"$7${iterations}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def set_password(file: Path, user: str, password: str) -> bool:
    """Give a user a password, in a file that is made if it is not there; whether the user had one before.

    Raises:
        ConfigurationError: the name or the password cannot be used, or the file not written.
    """
    entry = f"{user_name(user)}:{hash_password(_checked(password))}"
    return _edit(file, user, lambda kept: [*kept, entry])


def delete_password(file: Path, user: str) -> bool:
    """Take a user's password away: the broker no longer lets it in. Whether it had one.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    return _edit(file, user_name(user), lambda kept: kept, must_exist=True)


def _edit(file: Path, user: str, change: Callable[[list[str]], list[str]], *, must_exist: bool = False) -> bool:
    try:
        there = file.exists()
        if must_exist and not there:
            raise ConfigurationError(f"there is no password file {file}")
        before = file.read_text().splitlines() if there else []
        # The skeleton's note that the user has none goes with the entry.
        kept = [line for line in before if line.partition(":")[0].strip() != user and line.strip() != f"# {user}"]
        mode = stat.S_IMODE(file.stat().st_mode) & 0o640 if there else 0o600
        replace_file(file, "".join(f"{line}\n" for line in change(kept)), mode=mode)
    except (OSError, UnicodeDecodeError) as error:
        raise unwritable(error) from error
    return any(line.partition(":")[0].strip() == user for line in before)


def replace_file(file: Path, text: str, *, mode: int) -> None:
    """Write a file in one step: a broker that reloads meanwhile sees the old one or the new one."""
    owner = file.stat() if file.exists() else None
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
            os.fchmod(out.fileno(), mode)
            if owner is not None and (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                # The broker's own user, who has to read it.
                os.fchown(out.fileno(), owner.st_uid, owner.st_gid)
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def user_name(name: str) -> str:
    """The name of a user, as it may stand in Mosquitto's files.

    Raises:
        ConfigurationError: it may not.
    """
    if not _USER.fullmatch(name):
        raise ConfigurationError(
            f"{name[:80]!r} cannot be a user of the broker: 1 to 64 letters (A-Z), digits, '_', '-' or '.'"
        )
    return name


def unwritable(error: OSError | UnicodeDecodeError) -> ConfigurationError:
    """What the user is told of a file that cannot be read or written."""
    return ConfigurationError(f"the broker's files: {error}")


def _checked(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD:
        raise ConfigurationError(
            f"the password is shorter than {SHORTEST_PASSWORD} characters; --generate makes a good one"
        )
    if any(ord(character) < 32 for character in password):
        raise ConfigurationError("the password holds a control character, which devices can hardly send")
    return password
