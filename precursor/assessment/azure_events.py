"""Events of many machines out of files, and what is known of them at each instant (Azure predictive maintenance).

Layout: CSV files (or `.csv.gz`) whose names contain `errors`, `failures`, `maint` and `machines`, such as
`PdM_errors.csv`, with the columns datetime, machineID, errorID; datetime, machineID, failure; datetime, machineID,
comp; machineID, model, age. Telemetry is not looked at.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.evaluation.horizon import due_within
from models.life.labelled_events import MachineEvents, event_features
from telemetry.errors import ConfigurationError

__all__ = ["HORIZON_H", "STEP_H", "TRAINED", "Events", "Instants", "instants_of", "read_events"]

HORIZON_H = 24.0
STEP_H = 3.0
"""between instants at which the model is asked"""
TRAINED = 2 / 3
"""share of the time learned from; in it the same share is fitted to when the limit is chosen on the rest"""
_COLUMNS = {
    "errors": ("datetime", "machineID", "errorID"),
    "failures": ("datetime", "machineID", "failure"),
    "maint": ("datetime", "machineID", "comp"),
    "machines": ("machineID", "model", "age"),
}

Column = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Events:
    """Events of many machines; times in hours since the midnight before the first error or failure."""

    midnight: pd.Timestamp
    end: float
    """of the last event"""
    errors: tuple[str, ...]
    components: tuple[str, ...]
    machines: tuple[MachineEvents, ...]
    failures: tuple[tuple[Column, ...], ...]
    """of each machine and component"""

    @property
    def cut(self) -> float:
        """The midnight before two thirds of the time have passed."""
        return float(np.floor(TRAINED * self.end / 24) * 24)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instants:
    """All machines at the same instants."""

    time: Column
    kinds: int
    """of errors"""
    features: npt.NDArray[np.float64]
    """(machines, instants, features)"""
    due: Flags
    """(machines, instants, components) whether it fails after this instant, at most a horizon after"""

    def between(self, first: float, last: float) -> "Instants":
        """Those from the first hour to the last, both included."""
        inside = (self.time >= first) & (self.time <= last)
        return replace(self, time=self.time[inside], features=self.features[:, inside], due=self.due[:, inside])

    # The columns of `event_features`: since and hour of day of each kind of error, two counts, ages of components.
    @property
    def since_error(self) -> npt.NDArray[np.float64]:
        """(machines, instants, kinds) hours since the last error of each kind; NaN: none yet."""
        return self.features[:, :, : self.kinds]

    @property
    def age(self) -> npt.NDArray[np.float64]:
        """(machines, instants, components) hours since each was replaced; NaN: it was not yet."""
        return self.features[:, :, 2 * self.kinds + 2 :][:, :, : self.due.shape[2]]


def read_events(folder: Path) -> Events:
    """All events of a folder.

    Raises:
        ConfigurationError: a file or a column is missing, or there are no failures.
    """
    tables = {kind: _read(folder, kind) for kind in _COLUMNS}
    errors, failures, maint, machines = (tables[kind] for kind in _COLUMNS)
    if failures.empty or errors.empty or machines.empty:
        raise ConfigurationError(f"no failures, errors or machines in {str(folder)!r}: there is nothing to learn from")
    midnight = min(errors["datetime"].min(), failures["datetime"].min()).normalize()
    for table in (errors, failures, maint):
        table["hour"] = (table["datetime"] - midnight) / pd.Timedelta(hours=1)
    kinds = tuple(sorted(errors["errorID"].unique()))
    components = tuple(sorted(failures["failure"].unique()))
    models = {name: float(number) for number, name in enumerate(sorted(machines["model"].astype(str).unique()))}
    ids = machines["machineID"].tolist()
    by_error = _hours(errors, "errorID", ids, kinds)
    by_replacement = _hours(maint, "comp", ids, components)
    return Events(
        midnight=midnight,
        end=float(max(table["hour"].max() for table in (errors, failures, maint) if len(table))),
        errors=kinds,
        components=components,
        machines=tuple(
            MachineEvents(errors=error, replaced=replaced, traits=(models[str(model)], float(age)))
            for error, replaced, model, age in zip(
                by_error, by_replacement, machines["model"], machines["age"], strict=True
            )
        ),
        failures=tuple(_hours(failures, "failure", ids, components)),
    )


def instants_of(events: Events) -> Instants:
    """What is known of all machines every `STEP_H`, and what is due then; as long as the horizon is seen."""
    time = np.arange(0.0, events.end - HORIZON_H + 1e-6, STEP_H)
    return Instants(
        time=time,
        kinds=len(events.errors),
        features=np.stack([event_features(machine, time, horizon=HORIZON_H) for machine in events.machines]),
        due=np.stack(
            [
                np.column_stack([due_within(time, failures, horizon=HORIZON_H) for failures in machine])
                for machine in events.failures
            ]
        ),
    )


def _hours(table: pd.DataFrame, column: str, machines: list[int], kinds: tuple[str, ...]) -> list[tuple[Column, ...]]:
    """Of each machine and kind the hours of its events, ascending."""
    groups = {key: np.sort(rows.to_numpy(np.float64)) for key, rows in table.groupby(["machineID", column])["hour"]}
    none = np.empty(0)
    return [tuple(groups.get((machine, kind), none) for kind in kinds) for machine in machines]


def _read(folder: Path, kind: str) -> pd.DataFrame:
    found = [
        path for path in sorted(folder.glob("*.csv*")) if kind in path.name.lower() and path.suffix in {".csv", ".gz"}
    ]
    if not found:
        raise ConfigurationError(f"no file of {kind} in {str(folder)!r}: expected PdM_{kind}.csv (or .csv.gz)")
    columns = _COLUMNS[kind]
    try:
        table = pd.read_csv(found[0], usecols=list(columns))
        if "datetime" in columns:
            table["datetime"] = pd.to_datetime(table["datetime"])
    except ValueError as error:
        raise ConfigurationError(f"{str(found[0])!r}: {error}; expected the columns {', '.join(columns)}") from error
    return table
