"""Commands to devices over HTTP and from the command line, on a real database."""

import asyncio
import json
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest
from click.testing import CliRunner

from api.app import create_app
from ingest.device_commands import pending_commands, settle_command
from precursor.cli.devices import devices
from telemetry import database


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings=database.SESSION) as pool:
        transport = httpx.ASGITransport(create_app(pool), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as made:
            yield made


async def test_a_command_is_pending_until_the_engine_has_looked_at_it(
    client: httpx.AsyncClient, connection: asyncpg.Connection
) -> None:
    wanted = {"device": "w/a/press 1", "metric": "Outputs/Lamp", "value": True, "requested_by": "Ada"}
    answer = await client.post("/commands", json=wanted)
    assert answer.status_code == 202
    asked = answer.json()
    assert asked["outcome"] == "pending"
    assert {name: asked[name] for name in wanted} == wanted
    [pending] = await pending_commands(connection)
    assert pending.value is True
    await settle_command(connection, pending.id, "the host is passive")
    found = (await client.get(f"/commands/{asked['id']}")).json()
    assert (found["outcome"], found["refused"]) == ("refused", "the host is passive")
    assert await pending_commands(connection) == []
    listed = (await client.get("/commands", params={"device": "w/a/press 1"})).json()
    assert [each["id"] for each in listed] == [asked["id"]]


@pytest.mark.parametrize("value", [7, 2.5, "open", False])
async def test_a_value_keeps_its_kind(client: httpx.AsyncClient, connection: asyncpg.Connection, value: object) -> None:
    await client.post("/commands", json={"device": "w/a", "metric": "m", "value": value})
    [pending] = await pending_commands(connection)
    assert pending.value == value
    assert isinstance(pending.value, bool) == isinstance(value, bool)


async def test_nonsense_is_refused_and_an_unknown_number_is_not_found(client: httpx.AsyncClient) -> None:
    for body in ({}, {"device": "", "metric": "m", "value": 1}, {"device": "w/a", "metric": "m", "value": [1]}):
        assert (await client.post("/commands", json=body)).status_code == 422
    assert (await client.get("/commands/999")).status_code == 404


async def test_the_command_line_waits_for_the_engine_and_says_what_it_said(
    dsn: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    async def settle(refused: str | None) -> None:
        found = await pending_commands(connection)
        while not found:
            await asyncio.sleep(0.02)
            found = await pending_commands(connection)
        await settle_command(connection, found[0].id, refused)

    arguments = ["command", "w/a", "speed", "1450"]
    sent, _ = await asyncio.gather(asyncio.to_thread(CliRunner().invoke, devices, [*arguments, "--json"]), settle(None))
    assert (sent.exit_code, json.loads(sent.output)["outcome"]) == (0, "sent")
    refused, _ = await asyncio.gather(
        asyncio.to_thread(CliRunner().invoke, devices, arguments), settle("no such metric")
    )
    assert refused.exit_code == 1
    assert "no such metric" in refused.output
    waiting = await asyncio.to_thread(CliRunner().invoke, devices, [*arguments, "--wait", "0.1"])
    assert "does the engine run?" in waiting.output
