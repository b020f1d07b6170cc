"""`precursor simulate | replay`: readings through MQTT, as a gateway would send them, or into a data set."""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from precursor import parts, preflight
from precursor.settings import Settings, read_settings

if TYPE_CHECKING:
    from simulators.gateway import Message
    from simulators.publisher import Progress as SendProgress
    from simulators.publisher import Published

__all__ = ["replay", "simulate"]

_MORE = click.FloatRange(min=0, min_open=True)
_SOME = click.FloatRange(min=0)
_SEED = click.IntRange(min=0)
# Written out, so that --help need not import the physics; a test compares them with what there is.
_MACHINES = click.Choice(["pump", "motor", "fan", "gearbox"])
_PROFILES = click.Choice(["steady", "steps", "production", "variable_speed"])
_FAULTS = click.Choice(
    [
        "none",
        "bearing_inner",
        "bearing_outer",
        "unbalance",
        "misalignment",
        "cavitation",
        "overheating",
        "clogged_filter",
        "seal_leak",
        "gear_wear",
    ]
)
_SENSOR_FAULTS = click.Choice(["none", "stuck", "drift", "spikes", "dropout"])


@click.command()
@click.option("--duration", type=_MORE, help="Event time to simulate, s  [default: 3600; a data set: 45 days].")
@click.option("--interval", type=_MORE, help="Event time between readings, s  [default: 10; a data set: 60].")
@click.option(
    "--speed", type=_SOME, default=1.0, show_default=True, help="Event seconds a second; 0: as fast as possible."
)
@click.option("--seed", type=_SEED, default=7, show_default=True, help="Same seed, same readings.")
@click.option("--fault-asset", default="P-101", show_default=True, help="The asset that fails; 'none': all healthy.")
@click.option("--onset", default=0.45, show_default=True, help="Fault begins: below 1 a part of the duration, else s.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Event time of the first reading, UTC, as 2026-11-20T06:00:00"
    "  [default: so that the last one is now; at speed 1: now; a data set: 2026-01-05].",
)
@click.option(
    "--dataset",
    "out",
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="Send nothing: write a labelled data set into the new folder OUT. The options below are for it.",
)
@click.option("--count", type=click.IntRange(1, 999), default=10, show_default=True, help="Machines, a run each.")
@click.option("--machine", "machines", type=_MACHINES, multiple=True, help="Kind of machine; may be given again.")
@click.option("--scenario", type=_PROFILES, help="How the machines are used  [default: drawn for each].")
@click.option(
    "--fault",
    "faults",
    type=_FAULTS,
    multiple=True,
    metavar="FAULT",
    help="Fault of a machine, in turn if given again; 'none': healthy. bearing_inner, bearing_outer, unbalance,"
    " misalignment, cavitation, overheating, clogged_filter, seal_leak or gear_wear.",
)
@click.option(
    "--sensor-fault", "sensor_faults", type=_SENSOR_FAULTS, multiple=True, help="Fault of a sensor, in turn likewise."
)
@click.option(
    "--waveform-every", type=_SOME, default=86_400.0, show_default=True, help="s between waveforms; 0: no waveforms."
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
@click.pass_context
def simulate(
    context: click.Context,
    duration: float | None,
    interval: float | None,
    speed: float,
    seed: int,
    fault_asset: str,
    onset: float,
    start: datetime | None,
    out: Path | None,
    count: int,
    machines: tuple[str, ...],
    scenario: str | None,
    faults: tuple[str, ...],
    sensor_faults: tuple[str, ...],
    waveform_every: float,
    as_json: bool,
) -> None:
    """Send a simulated plant through MQTT: examples/plant.yaml, two pumps and a fan, one bearing going bad.

    Needs a broker: that of a running `precursor up`, or the one settings name.

    With --dataset OUT it needs none: weeks of pumps, motors, fans and gearboxes with faults of machines and of sensors
    go into a folder, with what was wrong when. Without --fault and --sensor-fault there are some of each, and some
    machines stay well. See docs/simulator.md.
    """
    _check_meant(context, dataset=out is not None)
    if out is not None:
        _write(
            out,
            count=count,
            seed=seed,
            duration=duration,
            interval=interval,
            start=start,
            machines=machines,
            scenario=scenario,
            faults=(*faults, *sensor_faults),
            waveform_every=waveform_every,
            as_json=as_json,
        )
        return
    _send(
        duration=3600.0 if duration is None else duration,
        interval=10.0 if interval is None else interval,
        speed=speed,
        seed=seed,
        fault_asset=fault_asset,
        onset=onset,
        start=start,
        as_json=as_json,
    )


_OF_DATASETS = ("count", "machines", "scenario", "faults", "sensor_faults", "waveform_every")
_OF_SENDING = ("speed", "fault_asset", "onset")


def _check_meant(context: click.Context, *, dataset: bool) -> None:
    """An option that would do nothing is a mistake."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and not dataset and parameter.name in _OF_DATASETS:
            raise click.UsageError(f"{parameter.opts[0]} is for data sets: add --dataset OUT")
        if given and dataset and parameter.name in _OF_SENDING:
            raise click.UsageError(f"{parameter.opts[0]} is for readings that are sent: leave it or --dataset away")


def _write(
    out: Path,
    *,
    count: int,
    seed: int,
    duration: float | None,
    interval: float | None,
    start: datetime | None,
    machines: tuple[str, ...],
    scenario: str | None,
    faults: tuple[str, ...],
    waveform_every: float,
    as_json: bool,
) -> None:
    from simulators.conditions import Profile
    from simulators.dataset import check_folder, write_dataset
    from simulators.faults import FaultKind, MachineKind, SensorFaultKind
    from simulators.suite import DURATION_S, START, suite

    check_folder(out)
    kinds = {str(kind): kind for kind in (*FaultKind, *SensorFaultKind)}
    scenarios = suite(
        count,
        seed=seed,
        start=START if start is None else start.replace(tzinfo=UTC),
        duration_s=DURATION_S if duration is None else duration,
        interval_s=60.0 if interval is None else interval,
        machines=[MachineKind(name) for name in machines],
        profile=None if scenario is None else Profile(scenario),
        faults=[kinds.get(name) for name in faults],
    )
    with _bar("simulating", "machines") as show:
        written = write_dataset(out, scenarios, waveform_every_s=waveform_every, progress=show)
    result = {
        "folder": str(out),
        "runs": written.runs,
        "readings": written.readings,
        "waveforms": written.waveforms,
        "faults": written.faults,
        "sensor_faults": written.sensor_faults,
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{written.readings:,} readings and {written.waveforms:,} waveforms of {written.runs} machines in {out}:"
        f" {written.faults} faults of machines, {written.sensor_faults} of sensors (labels.json says which)"
    )


def _send(
    *,
    duration: float,
    interval: float,
    speed: float,
    seed: int,
    fault_asset: str,
    onset: float,
    start: datetime | None,
    as_json: bool,
) -> None:
    from simulators.gateway import plant_messages
    from simulators.plant import SimulatedPlant

    settings = read_settings()
    # Event time must not run ahead of the wall clock: readings from the future are turned away at the door.
    span = timedelta(seconds=duration if speed != 1 else 0)
    begin = datetime.now(UTC) - span if start is None else start.replace(tzinfo=UTC)
    plant = SimulatedPlant(
        start=begin,
        duration_s=duration,
        interval_s=interval,
        seed=seed,
        fault_asset=None if fault_asset == "none" else fault_asset,
        onset=onset,
    )
    outcome = _publish(settings, plant_messages(plant.ticks()), speed=speed or None, rate=None)
    result = {
        "messages_published": outcome.messages,
        "readings_published": outcome.readings,
        "wall_s": round(outcome.wall_s, 3),
        "faults": [
            {
                "asset": fault.asset,
                "failure_mode": fault.failure_mode,
                "onset_at": fault.onset_at.isoformat(),
                "functional_failure_at": fault.functional_failure_at.isoformat(),
            }
            for fault in plant.faults
        ],
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(f"{outcome.readings} readings in {outcome.messages} messages, {outcome.wall_s:.1f} s")
    for fault in plant.faults:
        click.echo(
            f"injected: {fault.failure_mode} on {fault.asset} from {fault.onset_at:%Y-%m-%d %H:%M:%S} UTC,"
            f" functional failure {fault.functional_failure_at:%Y-%m-%d %H:%M:%S} UTC"
        )


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--topic-map",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML: which column goes to which topic, and which one is the time (see examples/replay-*.yaml).",
)
@click.option("--speed", type=_SOME, default=0.0, help="Event seconds a second  [default: 0, as fast as possible].")
@click.option("--rate", type=_SOME, default=0.0, help="Messages a second at most  [default: no limit].")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S"]),
    metavar="TIME",
    help="Event time of the first row, UTC, as 2026-11-20T06:00:00  [default: as recorded].",
)
@click.option("--gateway-topic", help="Send arrays with sensor names on this topic, instead of single readings.")
@click.option("--batch", type=click.IntRange(min=1), default=100, show_default=True, help="Readings in such an array.")
@click.option(
    "--wait/--no-wait",
    default=True,
    show_default=True,
    help="Wait until the engine has taken all of it, and say what became of it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the outcome as JSON.")
def replay(
    file: Path,
    topic_map: Path,
    speed: float,
    rate: float,
    start: datetime | None,
    gateway_topic: str | None,
    batch: int,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a recorded CSV FILE through MQTT, a reading for each row and mapped column; a missing value is none.

    Needs a broker: that of a running `precursor up`, or the one settings name.
    """
    from simulators.replay import Recording
    from simulators.topic_map import load_topic_map

    settings = read_settings()
    recording = Recording(
        path=file,
        topic_map=load_topic_map(topic_map),
        start=None if start is None else start.replace(tzinfo=UTC),
    )
    summary = recording.summary()
    parts.reachable_broker(settings)
    messages = recording.messages(gateway_topic=gateway_topic, batch=batch)
    with contextlib.ExitStack() as held:
        dsn = held.enter_context(preflight.existing_database(settings)) if wait else ""
        before = asyncio.run(_ledger(dsn)) if wait else {}
        outcome = _publish(settings, messages, speed=speed or None, rate=rate or None)
        taken = asyncio.run(_taken(dsn, before, outcome.readings)) if wait else {}
    result: dict[str, object] = {
        "rows": summary.rows,
        "missing": summary.missing,
        "messages_published": outcome.messages,
        "readings_published": outcome.readings,
        "wall_s": round(outcome.wall_s, 3),
        **{f"readings_{name}": count for name, count in taken.items()},
    }
    if as_json:
        click.echo(json.dumps(result))
        return
    click.echo(
        f"{summary.rows} rows, {outcome.readings} readings ({summary.missing} missing values) in"
        f" {outcome.messages} messages, {outcome.wall_s:.1f} s"
    )
    if taken:
        click.echo(
            f"the engine stored {taken['stored']}, duplicates {taken['duplicate']}, rejected {taken['rejected']}"
        )


def _publish(
    settings: Settings,
    messages: "Iterable[Message]",
    *,
    speed: float | None,
    rate: float | None,
) -> "Published":
    from simulators.publisher import publish

    target = parts.reachable_broker(settings)
    with _bar("publishing", "readings") as count:

        def show(progress: "SendProgress") -> None:
            count(progress.readings)

        return publish(
            messages,
            host=target.host,
            port=target.port,
            username=target.username,
            password=target.password,
            tls=target.tls_context(),
            speed=speed,
            rate=rate,
            progress=show,
            stop=threading.Event(),
            echo_topic=parts.echo_topic(settings),
        )


@contextlib.contextmanager
def _bar(doing: str, what: str) -> Iterator[Callable[[int], None]]:
    """Shows on a terminal how many there are; gives the function to tell it."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,}} {what}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        task = bar.add_task(doing, total=None)
        yield lambda count: bar.update(task, completed=count)


async def _ledger(dsn: str) -> dict[str, int]:
    from telemetry import database
    from telemetry.ledger import read_totals

    connection = await database.connect(dsn)
    try:
        with database.translated():
            return await read_totals(connection)
    finally:
        await connection.close()


async def _taken(dsn: str, before: dict[str, int], expected: int) -> dict[str, int]:
    """What became of the readings since `before`, once as many were received or nothing more comes for a while."""
    last, idle = -1, 0
    while True:
        now = await _ledger(dsn)
        taken = {name: now[name] - before[name] for name in now}
        received = taken["received"]
        idle = idle + 1 if received == last else 0
        if received >= expected or idle > _PATIENCE:
            if received < expected:
                click.echo(
                    f"only {received} of {expected} readings reached the database; does an engine run"
                    " (`precursor up`), and does its plant file listen on these topics?",
                    err=True,
                )
            return taken
        last = received
        await asyncio.sleep(0.2)


_PATIENCE = 50
"""looks at the ledger, 0.2 s apart, without anything new before giving up"""
