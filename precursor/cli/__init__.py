"""The command line. Each command lives in a module of its own and is imported when it is called."""

import difflib
import importlib
import keyword
import os
import signal
import sys
from typing import NoReturn

import click

from precursor import __version__
from telemetry.errors import ConfigurationError, PrecursorError

__all__ = ["group", "main"]

_COMMANDS = {
    "demo": (
        "precursor.cli.demo",
        "Simulated plant, broker, database and engine; ends by itself with a work order.",
    ),
    "up": ("precursor.cli.run", "Run ingest, scheduler and API in one process, analysis beside it."),
    "ingest": ("precursor.cli.run", "Run the part between broker and database alone."),
    "scheduler": ("precursor.cli.run", "Run the periodic jobs alone: KPI rollup, work-order delivery."),
    "api": ("precursor.cli.run", "Run the HTTP interface alone."),
    "analyse": ("precursor.cli.analyse", "Run the analysis alone: features of waveforms, remaining life."),
    "migrate": ("precursor.cli.plant", "Bring the database to the schema this program needs."),
    "doctor": ("precursor.cli.plant", "Look at settings, database and broker, and say what is wrong."),
    "upgrade": ("precursor.cli.upgrade", "Move a database to another edition or server, with everything in it."),
    "apply": ("precursor.cli.plant", "Make the database equal to a plant file."),
    "rules": ("precursor.cli.rules", "The rules in force: what is watched, and where each limit comes from."),
    "ledger": ("precursor.cli.plant", "Received = stored + duplicate + rejected, for each source."),
    "alarms": ("precursor.cli.alarms", "What stands, who knows of it, what is kept silent, what is a nuisance."),
    "work-orders": ("precursor.cli.maintenance", "List work orders, or move one on."),
    "prognoses": ("precursor.cli.analyse", "What was foretold of remaining life, and what came of it."),
    "kpi": ("precursor.cli.maintenance", "Downtime, failures, availability and MTBF by asset."),
    "backtest": ("precursor.cli.backtest", "What these rules would have done over readings that are there already."),
    "evaluate": ("precursor.cli.evaluate", "Detectors and prognoses on labelled data, beside what is had for nothing."),
    "train": ("precursor.cli.train", "A model of what is usual for a class of assets, out of their good time."),
    "models": ("precursor.cli.models", "Trained models: candidate, in shadow, active; and back to the one before."),
    "simulate": ("precursor.cli.simulate", "Send a simulated plant through MQTT."),
    "replay": ("precursor.cli.replay", "Send a recorded CSV file through MQTT."),
    "export": ("precursor.cli.exchange", "Write the stored readings of a range to a Parquet or Arrow file."),
    "import": ("precursor.cli.exchange", "Store the readings of a Parquet or Arrow file."),
    "waveforms": ("precursor.cli.waveforms", "List blocks of samples, or write them to a NumPy file."),
    "devices": ("precursor.cli.devices", "Gateways, nodes and devices: who is there, and who is listened to."),
    "quarantine": ("precursor.cli.quarantine", "Readings of unknown names: release them into history, or drop them."),
    "broker": ("precursor.cli.broker", "Write Mosquitto's files for a plant; set a password there."),
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
        name = cmd_name.replace("-", "_")
        # A command called like a word of Python's: its function has an underscore more.
        command = getattr(module, f"{name}_" if keyword.iskeyword(name) else name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in _COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            ctx.fail(f"there is no command {args[0]!r}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="precursor")
def group() -> None:
    """IoT telemetry and condition-based maintenance: MQTT readings in, the right work order out.

    Settings come from PRECURSOR_* and precursor.toml. Without any, an embedded database and broker are used, with
    their data in ./precursor-data.
    """


def main() -> None:
    """Entry point: errors of ours become one message and an exit status, not a traceback.

    Exit status 2: something the user set or typed is wrong; 1: something failed.
    """
    # Ended by a supervisor: embedded parts must not outlive us. The engine takes the signal over while it runs.
    signal.signal(signal.SIGTERM, _ended)
    try:
        _warn_of_unknown_names()
        group(prog_name="precursor")
    except ConfigurationError as error:
        click.echo(f"precursor: {error}", err=True)
        sys.exit(2)
    except PrecursorError as error:
        click.echo(f"precursor: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _ended(_number: int, _frame: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _warn_of_unknown_names() -> None:
    suspects = [name for name in os.environ if name.upper().startswith("PRECURSOR_")]
    if not suspects:
        return
    from precursor.cli.environment import unknown_names

    for name, close in unknown_names(suspects):
        hint = f"; did you mean {close}?" if close else ", see docs/settings.md"
        click.echo(f"precursor: warning: {name} is set, but there is no such setting{hint}", err=True)
