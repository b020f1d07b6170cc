"""The command line. Each command lives in a module of its own and is imported when it is called."""

import importlib
import sys

import click

from precursor import __version__
from telemetry.errors import ConfigurationError, PrecursorError

__all__ = ["main"]

_COMMANDS = {
    "demo": (
        "precursor.cli.demo",
        "Simulated plant, broker, database and engine; ends by itself with a work order.",
    ),
    "up": ("precursor.cli.run", "Run ingest, scheduler and API in one process."),
    "ingest": ("precursor.cli.run", "Run the part between broker and database alone."),
    "scheduler": ("precursor.cli.run", "Run the periodic jobs alone: KPI rollup, work-order delivery."),
    "api": ("precursor.cli.run", "Run the HTTP interface alone."),
    "migrate": ("precursor.cli.plant", "Bring the database to the schema this program needs."),
    "doctor": ("precursor.cli.plant", "Look at settings, database and broker, and say what is wrong."),
    "apply": ("precursor.cli.plant", "Make the database equal to a plant file."),
    "ledger": ("precursor.cli.plant", "Received = stored + duplicate + rejected, for each source."),
    "work-orders": ("precursor.cli.maintenance", "List work orders, or move one on."),
    "kpi": ("precursor.cli.maintenance", "Downtime, failures, availability and MTBF by asset."),
    "simulate": ("precursor.cli.send", "Send a simulated plant through MQTT."),
    "replay": ("precursor.cli.send", "Send a recorded CSV file through MQTT."),
    "dashboards": ("precursor.cli.boards", "Build the Grafana boards, or push them to a Grafana."),
    "bench": ("precursor.cli.bench", "Measure this machine, limits beside each figure."),
}


class _Lazy(click.Group):
    """Imports a command's module when it is called, so that `--help` and errors are quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command = getattr(module, cmd_name.replace("-", "_"))
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="precursor")
def _group() -> None:
    """IoT telemetry and condition-based maintenance: MQTT readings in, the right work order out.

    Settings come from PRECURSOR_* and precursor.toml. Without any, an embedded database and broker are used, with
    their data in ./precursor-data.
    """


def main() -> None:
    """Entry point: errors of ours become one message and an exit status, not a traceback."""
    try:
        _group(prog_name="precursor")
    except ConfigurationError as error:
        click.echo(f"precursor: {error}", err=True)
        sys.exit(2)
    except PrecursorError as error:
        click.echo(f"precursor: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
