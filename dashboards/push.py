"""Boards into a Grafana that is already running, through its HTTP API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grafana_client.api import GrafanaApi
from grafana_client.client import GrafanaClientError, GrafanaException

from dashboards.build import JSON_FOLDER
from telemetry.errors import ConfigurationError, TransientError

__all__ = ["FOLDER_UID", "Pushed", "push"]

FOLDER_UID = "precursor"
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """A board that is now in Grafana."""

    uid: str
    title: str
    url: str
    """where a browser finds it"""


def push(
    url: str,
    credential: str | tuple[str, str],
    folder: Path = JSON_FOLDER,
    *,
    into: str = "Precursor",
) -> tuple[Pushed, ...]:
    """Create or replace every board of `folder` (`*.json`) in Grafana, in its folder titled `into`.

    Args:
        url: e.g. `http://127.0.0.1:3000`, with the path where Grafana is served under one.
        credential: the token of a service account with the role Editor, or (user, password).
        folder: where `dashboards.build` wrote the boards.
        into: title of the folder in Grafana, made where it is missing.

    Raises:
        ConfigurationError: the address, the credential, the folder or a board is wrong.
        TransientError: Grafana does not answer, or answers with a server error.
    """
    boards = [_load(path) for path in sorted(folder.glob("*.json"))]
    if not boards:
        raise ConfigurationError(f"{folder} holds no board (*.json): run `precursor dashboards build` first")
    base = _base(url)
    # The client writes the path and `api` one after the other; its methods carry no types.
    api: Any = GrafanaApi.from_url(f"{base}/", credential, timeout=_TIMEOUT_S)
    pushed = []
    with _explained(base):
        _make_folder(api, into)
        for board in boards:
            answer = api.dashboard.update_dashboard(
                {
                    "dashboard": {**board, "id": None},
                    "folderUid": FOLDER_UID,
                    "overwrite": True,
                    "message": "precursor dashboards push",
                }
            )
            address = urlsplit(base)
            pushed.append(
                Pushed(
                    uid=answer["uid"],
                    title=board["title"],
                    url=f"{address.scheme}://{address.netloc}{answer['url']}",
                )
            )
    return tuple(pushed)


def _base(url: str) -> str:
    address = urlsplit(url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigurationError(f"{url!r} is not an address of Grafana; expected e.g. http://127.0.0.1:3000")
    return url.rstrip("/")


def _load(path: Path) -> dict[str, Any]:
    try:
        board = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(board, dict) or not {"uid", "title"} <= board.keys():
        raise ConfigurationError(f"{path} is not a board: it needs at least `uid` and `title`")
    return board


def _make_folder(api: Any, title: str) -> None:
    try:
        api.folder.get_folder(FOLDER_UID)
    except GrafanaClientError as error:
        if error.status_code != 404:
            raise
        api.folder.create_folder(title, uid=FOLDER_UID)


@contextmanager
def _explained(base: str) -> Iterator[None]:
    """Turns what the client raises into what a person can do about it."""
    try:
        yield
    except GrafanaClientError as error:
        raise ConfigurationError(_advice(base, error)) from error
    except GrafanaException as error:
        raise TransientError(f"Grafana at {base} has trouble: {error.message}; try again later") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"what answers at {base} does not speak Grafana's API; check the address and its path"
        ) from error
    # The client's connection errors are OSErrors.
    except OSError as error:
        raise TransientError(f"Grafana at {base} does not answer ({error}); is it running?") from error


def _advice(base: str, error: GrafanaClientError) -> str:
    match error.status_code:
        case 401:
            return f"Grafana at {base} does not accept the credential: give a valid token or user and password"
        case 403:
            return f"Grafana at {base} does not allow this: the account needs the role Editor"
        case 404:
            return f"Grafana's API is not found at {base}: check the address and the path it is served under"
        case 412:
            return f"Grafana at {base} keeps another board under the same title: rename or delete that one"
        case _:
            # A provisioned board ends here too: Grafana says so in its message.
            return f"Grafana at {base} refuses the board: {error.message}"
