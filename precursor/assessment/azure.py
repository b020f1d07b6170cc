"""Failures foretold from events alone (Azure predictive maintenance): which component of which machine fails tomorrow?

Layout: CSV files (or `.csv.gz`) whose names contain `errors`, `failures`, `maint` and `machines`, such as
`PdM_errors.csv`, with the columns datetime, machineID, errorID; datetime, machineID, failure; datetime, machineID, comp;
machineID, model, age. Telemetry is not looked at.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from models.evaluation.horizon import caught, due_within
from models.life.labelled_events import FailureForecast, MachineEvents, event_features, limit_of_best_f1
from precursor.assessment.drawings import Bars
from precursor.assessment.report import Assessment, Figure
from telemetry.errors import ConfigurationError

__all__ = ["Events", "assess", "read_events"]

HORIZON_H = 24.0
LEAD_H = 3.0
STEP_H = 3.0
"""between instants at which the model is asked"""
_TRAINED = 2 / 3
"""share of the time learned from; in it the same share is fitted to when the limit is chosen on the rest"""
_PRECISION, _RECALL, _CAUGHT = 0.86, 0.91, 220 / 232
_COLUMNS = {
    "errors": ("datetime", "machineID", "errorID"),
    "failures": ("datetime", "machineID", "failure"),
    "maint": ("datetime", "machineID", "comp"),
    "machines": ("machineID", "model", "age"),
}

Column = npt.NDArray[np.float64]
Table = npt.NDArray[np.float64]
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
        return float(np.floor(_TRAINED * self.end / 24) * 24)
