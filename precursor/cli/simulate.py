"""`precursor simulate`: readings of a simulated plant through MQTT, or into a data set."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from click.core import ParameterSource

from precursor.cli.publishing import bar, publish_messages
from precursor.settings import read_settings

__all__ = ["simulate"]

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
    with bar("simulating", "machines") as show:
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
    outcome = publish_messages(settings, plant_messages(plant.ticks()), speed=speed or None, rate=None)
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
