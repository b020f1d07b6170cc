"""Pushing boards, against a server on loopback that answers as Grafana does."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from dashboards.build import build_all
from dashboards.push import push
from telemetry.errors import ConfigurationError, PrecursorError, TransientError


@contextmanager
def _grafana(refusal: tuple[int, str] | None = None, kind: str = "application/json") -> Iterator[tuple[str, list[Any]]]:
    """Its address and the requests it saw: (method, path, authorization, body)."""
    seen: list[Any] = []
    folders: set[str] = set()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, method: str) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            seen.append((method, self.path, self.headers["Authorization"], body))
            status, reply = self.reply(method, body)
            content = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def reply(self, method: str, body: Any) -> tuple[int, Any]:
            if refusal is not None:
                return refusal[0], {"message": refusal[1]}
            if self.path == "/api/folders" and method == "POST":
                folders.add(body["uid"])
                return 200, body
            if self.path == "/api/folders/precursor":
                return (200, {"uid": "precursor"}) if folders else (404, {"message": "folder not found"})
            return 200, {"uid": body["dashboard"]["uid"], "url": f"/d/{body['dashboard']['uid']}/x"}

        def do_GET(self) -> None:
            self.answer("GET")

        def do_POST(self) -> None:
            self.answer("POST")

        def log_message(self, *_: Any) -> None:
            """Nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def boards(tmp_path: Path) -> Path:
    build_all(tmp_path)
    return tmp_path


def test_board_is_put_into_a_folder_that_is_made_once(boards: Path) -> None:
    with _grafana() as (url, seen):
        pushed = push(f"{url}/", "token-1", boards)
        push(url, ("admin", "secret"), boards)
    assert [(board.title, board.url) for board in pushed] == [
        ("Alarm performance", f"{url}/d/precursor-alarm-performance/x"),
        ("Machine condition", f"{url}/d/precursor-machine-condition/x"),
        ("Plant overview", f"{url}/d/precursor-plant-overview/x"),
    ]
    assert [(method, path) for method, path, _, _ in seen] == [
        ("GET", "/api/folders/precursor"),
        ("POST", "/api/folders"),
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/dashboards/db"),
        ("GET", "/api/folders/precursor"),
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/dashboards/db"),
        ("POST", "/api/dashboards/db"),
    ]
    assert seen[0][2] == "Bearer token-1"
    assert seen[-1][2].startswith("Basic ")
    body = seen[2][3]
    assert body["overwrite"] is True
    assert body["folderUid"] == "precursor"
    assert body["dashboard"]["uid"] == "precursor-alarm-performance"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        pytest.param(401, ConfigurationError, "credential", id="wrong token"),
        pytest.param(403, ConfigurationError, "Editor", id="role too small"),
        pytest.param(404, ConfigurationError, "path", id="no Grafana at this path"),
        pytest.param(412, ConfigurationError, "same title", id="title taken"),
        pytest.param(400, ConfigurationError, "refuses", id="board refused"),
        pytest.param(503, TransientError, "later", id="Grafana is starting"),
    ],
)
def test_refusal_says_what_to_do(boards: Path, status: int, kind: type[PrecursorError], words: str) -> None:
    with _grafana((status, "its own words")) as (url, _), pytest.raises(kind, match=words):
        push(url, "token", boards)


def test_another_program_at_the_address_is_told_apart(boards: Path) -> None:
    with _grafana(kind="text/html") as (url, _), pytest.raises(ConfigurationError, match="does not speak"):
        push(url, "token", boards)


def test_nobody_listening_is_worth_another_try(boards: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(TransientError, match="does not answer"):
        push(f"http://127.0.0.1:{port}", "token", boards)


@pytest.mark.parametrize("url", ["localhost:3000", "ftp://example.org", "", "http://"])
def test_address_that_is_none_is_refused(boards: Path, url: str) -> None:
    with pytest.raises(ConfigurationError, match="not an address"):
        push(url, "token", boards)


def test_folder_without_boards_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="dashboards build"):
        push("http://127.0.0.1:1", "token", tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", '{"title": "no uid"}'])
def test_file_that_is_no_board_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"broken\.json"):
        push("http://127.0.0.1:1", "token", tmp_path)
