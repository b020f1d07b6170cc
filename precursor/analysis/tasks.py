"""All that the analysis process does. To add a kind of work, add what makes its task."""

from collections.abc import Callable, Sequence

from precursor.analysis.ages import AgeTask, OutcomeTask
from precursor.analysis.pf_intervals import PfIntervalTask
from precursor.analysis.task import Task
from precursor.analysis.trained import TrainedScores
from precursor.analysis.trained_life import TrainedLives
from precursor.analysis.trends import TrendTask
from precursor.analysis.waveforms import WaveformTask
from rules.definition import Rule
from telemetry.plant import Plant

__all__ = ["TASKS"]

TASKS: Sequence[Callable[[Plant, Sequence[Rule]], Task]] = (
    lambda plant, rules: WaveformTask(plant),
    TrendTask,
    lambda plant, rules: AgeTask(plant),
    lambda plant, rules: PfIntervalTask(plant),
    lambda plant, rules: OutcomeTask(plant),
    lambda plant, rules: TrainedScores(plant),
    lambda plant, rules: TrainedLives(plant),
)
"""made anew for each plant, with its rules, in the order of their turns"""
