"""`precursor dashboards build | push`."""

from pathlib import Path

import click

from telemetry.errors import ConfigurationError

__all__ = ["dashboards"]


@click.group()
def dashboards() -> None:
    """Build the Grafana boards, or push them to a Grafana. See docs/dashboards.md."""


@dashboards.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder  [default: where they are kept].")
def build(out: Path | None) -> None:
    """Write the boards as JSON."""
    from dashboards.build import JSON_FOLDER, build_all

    for path in build_all(out or JSON_FOLDER):
        click.echo(str(path))


@dashboards.command()
@click.option("--url", required=True, help="Grafana's address, e.g. http://127.0.0.1:3000.")
@click.option(
    "--token", envvar="PRECURSOR_GRAFANA_TOKEN", help="Service account token  [env: PRECURSOR_GRAFANA_TOKEN]."
)
@click.option("--user", help="User name, where there is no token; the password is asked for.")
def push(url: str, token: str | None, user: str | None) -> None:
    """Create or replace the boards in a Grafana."""
    from dashboards.push import push as push_boards

    if token is not None:
        credential: str | tuple[str, str] = token
    elif user is not None:
        credential = (user, click.prompt("Password", hide_input=True))
    else:
        raise ConfigurationError("name a --token (or PRECURSOR_GRAFANA_TOKEN), or a --user")
    for pushed in push_boards(url, credential):
        click.echo(str(pushed))
