"""`precursor broker`: Mosquitto's files for a plant, and its password file."""

import json
import secrets
import sys
from pathlib import Path

import click

from precursor.settings import read_settings

__all__ = ["broker"]


@click.group()
def broker() -> None:
    """Mosquitto's files for a plant, and its password file. See docs/security.md."""


@broker.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--plant",
    "plant_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The plant file whose gateways and sensors get access.",
)
@click.option(
    "--access",
    type=click.Choice(["password", "certificate"]),
    default="password",
    show_default=True,
    help="How devices prove who they are; the common name of a certificate is the user.",
)
@click.option("--tls/--no-tls", default=True, show_default=True, help="Without: passwords cross the network readable.")
@click.option("--port", type=click.IntRange(1, 65_535), help="To listen on  [default: 8883, without TLS 1883].")
@click.option("--address", default="", metavar="ADDRESS", help="To listen on  [default: all of the machine's].")
@click.option(
    "--folder", metavar="PATH", help="Where the broker will find the files, e.g. /mosquitto/config  [default: OUT]."
)
@click.option(
    "--data",
    default="/var/lib/mosquitto",
    show_default=True,
    metavar="PATH",
    help="Where the broker keeps its queues; /mosquitto/data in Docker.",
)
@click.option(
    "--sqlite",
    "sqlite_plugin",
    default="",
    metavar="PATH",
    help="Mosquitto 2.1: its library mosquitto_persist_sqlite.so; a kill then loses nothing, see docs/no-loss.md.",
)
@click.option("--engine-user", default="engine", show_default=True, metavar="USER", help="The engine's user.")
@click.option("--json", "as_json", is_flag=True, help="Print the files and users as JSON.")
def files(
    out: Path,
    plant_file: Path,
    access: str,
    tls: bool,
    port: int | None,
    address: str,
    folder: str | None,
    data: str,
    sqlite_plugin: str,
    engine_user: str,
    as_json: bool,
) -> None:
    """Write mosquitto.conf, acl and passwd for a plant into the folder OUT.

    Each gateway, and each asset whose sensors publish by themselves, is a user that may write its own topics only; so
    is each Sparkplug edge node, under its own name. The engine may read all. Run it again when the plant has changed:
    a password file that is there is kept. Then let the broker read them (SIGHUP).
    """
    from precursor.broker_files import Access, BrokerOptions, sparkplug_groups, users_of, write_files
    from precursor.plantfile import read_plant_file

    plant = read_plant_file(plant_file)
    options = BrokerOptions(
        access=Access(access),
        tls=tls,
        folder=folder or str(out.resolve()),
        data=data,
        sqlite_plugin=sqlite_plugin,
        address=address,
        port=port or (8883 if tls else 1883),
        max_payload_bytes=read_settings().ingest.max_payload_bytes,
        engine_user=engine_user,
    )
    written = write_files(out, plant, options)
    users = [user.name for user in users_of(plant, engine_user)]
    if as_json:
        click.echo(json.dumps({"files": [str(file) for file in written], "users": users}))
        return
    for file in written:
        click.echo(f"wrote {file}")
    click.echo(f"users: {', '.join(users)}")
    if sparkplug_groups(plant):
        click.echo("       and each Sparkplug edge node, under the name of the node")
    if options.access is Access.PASSWORD:
        click.echo(f"next: precursor broker password {out / 'passwd'} USER   for each of them")
    if tls:
        needed = ["server.crt", "server.key"] + ["ca.crt"] * (options.access is Access.CERTIFICATE)
        click.echo(f"next: put {', '.join(needed)} into {options.folder}")


@broker.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("user")
@click.option("--generate", is_flag=True, help="Make a password and print it, once.")
@click.option("--delete", is_flag=True, help="Take the user's password away.")
def password(file: Path, user: str, generate: bool, delete: bool) -> None:
    """Set the password of USER in Mosquitto's password file FILE, which is made if it is not there.

    Asks for the password on a terminal, else reads one line of standard input; never takes it from the command line,
    where other users of the machine could read it. The broker takes a changed file over on SIGHUP.
    """
    from precursor.broker_passwords import delete_password, set_password

    if generate and delete:
        raise click.UsageError("--generate and --delete exclude each other")
    if delete:
        had = delete_password(file, user)
        click.echo(f"{user} no longer has a password" if had else f"{user} had no password")
        sys.exit(0 if had else 1)
    if generate:
        chosen = secrets.token_urlsafe(24)
    elif sys.stdin.isatty():
        chosen = click.prompt(f"Password of {user}", hide_input=True, confirmation_prompt=True, err=True)
    else:
        chosen = sys.stdin.readline().rstrip("\r\n")
    had = set_password(file, user, chosen)
    click.echo(f"{'changed' if had else 'set'} the password of {user}", err=True)
    if generate:
        click.echo(chosen)
