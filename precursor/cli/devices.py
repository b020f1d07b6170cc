"""`precursor devices list | show | register | configure | decommission | approve`: what speaks to us."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ingest.registry import Device, DeviceKind, DeviceStatus
from precursor.cli.connection import with_connection
from precursor.cli.device_command import command
from precursor.cli.table import print_table

if TYPE_CHECKING:
    import asyncpg

__all__ = ["devices"]

_JSON = click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
_TITLE = click.option("--title", help="For people.")
_CREDENTIALS = click.option(
    "--credentials", help="Where its secret is kept: a user at the broker, a path in a vault. Never the secret."
)
_STALE = click.option(
    "--stale-after", "stale_after_s", type=float, metavar="SECONDS", help="Silent for longer: stale; 0: never."
)
_HARDWARE = click.option("--hardware", help="Make and model.")
_FIRMWARE = click.option("--firmware", help="Version of its software.")
_FAR_S = 2 * 86_400.0
"""clocks further off than this are told in days"""


@click.group()
def devices() -> None:
    """Gateways, edge nodes and devices: who is there, and who is listened to. See docs/devices.md."""


devices.add_command(command)


@devices.command("list")
@click.option("--status", type=click.Choice([status.value for status in DeviceStatus]), help="Only these.")
@_JSON
def list_(status: str | None, as_json: bool) -> None:
    """All devices by name."""

    async def work(connection: "asyncpg.Connection") -> tuple[Device, ...]:
        from ingest.registry_store import load_devices

        return await load_devices(connection, status=None if status is None else DeviceStatus(status))

    found = with_connection(work)
    if as_json:
        click.echo(json.dumps([_document(device) for device in found]))
    elif found:
        print_table(
            ("device", "kind", "status", "since (UTC)", "last seen (UTC)", "clock", "firmware"),
            [
                (
                    device.name,
                    device.kind.value,
                    _standing(device),
                    _moment(device.status_at),
                    _moment(device.last_seen_at),
                    _clock(device.clock_offset_s),
                    device.firmware or "-",
                )
                for device in found
            ],
        )
    elif status is not None:
        click.echo(f"no device is {status}")
    else:
        click.echo("no device is known yet: gateways of the plant file appear when the engine starts, others when born")


@devices.command()
@click.argument("name")
@_JSON
def show(name: str, as_json: bool) -> None:
    """Everything known about the device NAME."""

    async def work(connection: "asyncpg.Connection") -> Device:
        from ingest.registration import find_device

        return await find_device(connection, name)

    _show(with_connection(work), as_json)


@devices.command()
@click.argument("name")
@click.option("--kind", type=click.Choice([kind.value for kind in DeviceKind]), required=True, help="What it is.")
@click.option("--parent", metavar="NAME", help="The node or gateway it is behind.")
@click.option("--source", default="", metavar="GATEWAY", help="The gateway of the plant file it speaks through.")
@_TITLE
@_HARDWARE
@_FIRMWARE
@_CREDENTIALS
@_STALE
@_JSON
def register(
    name: str,
    kind: str,
    parent: str | None,
    source: str,
    title: str | None,
    hardware: str | None,
    firmware: str | None,
    credentials: str | None,
    stale_after_s: float | None,
    as_json: bool,
) -> None:
    """Make the device NAME known before its first word: a gateway's name, GROUP/NODE or GROUP/NODE/DEVICE."""

    async def work(connection: "asyncpg.Connection") -> Device:
        from ingest.registration import DeviceSettings
        from ingest.registration import register as enter

        settings = DeviceSettings(
            title=title,
            credentials=credentials,
            hardware=hardware,
            firmware=firmware,
            stale_after_s=stale_after_s,
        )
        return await enter(connection, name, DeviceKind(kind), parent=parent, source=source, settings=settings)

    _show(with_connection(work), as_json)


@devices.command()
@click.argument("name")
@_TITLE
@_HARDWARE
@_FIRMWARE
@_CREDENTIALS
@_STALE
@_JSON
def configure(
    name: str,
    title: str | None,
    hardware: str | None,
    firmware: str | None,
    credentials: str | None,
    stale_after_s: float | None,
    as_json: bool,
) -> None:
    """Change what is given of the device NAME."""

    async def work(connection: "asyncpg.Connection") -> Device:
        from ingest.registration import DeviceSettings
        from ingest.registration import configure as change

        settings = DeviceSettings(
            title=title,
            credentials=credentials,
            hardware=hardware,
            firmware=firmware,
            stale_after_s=stale_after_s,
        )
        return await change(connection, name, settings)

    _show(with_connection(work), as_json)


@devices.command()
@click.argument("name")
@_JSON
def decommission(name: str, as_json: bool) -> None:
    """Take the device NAME, and all behind it, out of use.

    When it speaks again it is quarantined: its readings are kept aside until somebody approves it.
    """
    _settle("decommission", name, as_json)


@devices.command()
@click.argument("name")
@_JSON
def approve(name: str, as_json: bool) -> None:
    """Listen to the device NAME, and all behind it, again.

    What was kept aside of its readings stays there: `precursor quarantine release` moves it into history.
    """
    _settle("approve", name, as_json)


def _settle(step: str, name: str, as_json: bool) -> None:
    async def work(connection: "asyncpg.Connection") -> Device:
        from ingest import registration

        take: Callable[[asyncpg.Connection, str, datetime], Awaitable[Device]] = getattr(registration, step)
        return await take(connection, name, datetime.now(UTC))

    _show(with_connection(work), as_json)


def _show(device: Device, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_document(device)))
        return
    facts = {
        "device": device.name,
        "kind": device.kind.value,
        "title": device.title,
        "status": f"{_standing(device)} since {_moment(device.status_at)} UTC",
        "last seen": f"{_moment(device.last_seen_at)} UTC" if device.last_seen_at else "never",
        "clock": _clock(device.clock_offset_s),
        "behind": device.parent,
        "heard through": device.source,
        "known from": device.origin,
        "hardware": device.hardware,
        "firmware": device.firmware,
        "credentials": device.credentials,
        "stale after": None if device.stale_after_s is None else f"{device.stale_after_s:g} s",
        **{key: str(value) for key, value in sorted(device.properties.items())},
    }
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        if value:
            click.echo(f"{key.ljust(width)}  {value}")


def _standing(device: Device) -> str:
    return device.status.value if device.decommissioned_at is None else f"{device.status.value}, decommissioned"


def _document(device: Device) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(device).items()}


def _moment(moment: datetime | None) -> str:
    return "never" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}"


def _clock(offset_s: float | None) -> str:
    if offset_s is None:
        return "-"
    far = abs(offset_s) >= _FAR_S
    size = f"{abs(offset_s) / 86_400:,.1f} d" if far else f"{abs(offset_s):,.1f} s"
    return f"{size} {'ahead' if offset_s > 0 else 'behind'}"
