"""Which block computes which kind of signal."""

from collections.abc import Callable, Mapping, Sequence

from rules.definition import Rule
from rules.signal import (
    Count,
    Deviation,
    Expression,
    FlatLine,
    NoData,
    OutOfRange,
    Quality,
    Rate,
    Signal,
    Statistic,
    Usage,
    Value,
    Window,
)
from rules.signals.contract import SignalBlock
from rules.signals.count import CountBlock
from rules.signals.expression import ExpressionBlock
from rules.signals.flat_line import FlatLineBlock
from rules.signals.plain import FromSetpoint, QualityBlock, RangeBlock, Silence, ValueBlock
from rules.signals.rate import RateBlock
from rules.signals.reference import FromReference
from rules.signals.usage import UsageBlock
from rules.signals.window import ExtremeBlock, MeanBlock

__all__ = ["BLOCKS", "build"]

BLOCKS: Mapping[str, Callable[[Sequence[Rule]], SignalBlock]] = {
    "value": ValueBlock,
    "setpoint": FromSetpoint,
    "reference": FromReference,
    "rate": RateBlock,
    "window": MeanBlock,
    "window_extreme": ExtremeBlock,
    "count": CountBlock,
    "flat_line": FlatLineBlock,
    "out_of_range": RangeBlock,
    "no_data": Silence,
    "quality": QualityBlock,
    "usage": UsageBlock,
    "expression": ExpressionBlock,
}
"""by kind; some kinds of rules come in two, whose computation differs"""

_KINDS: Mapping[type[Signal], str] = {
    Value: "value",
    Rate: "rate",
    Count: "count",
    FlatLine: "flat_line",
    OutOfRange: "out_of_range",
    NoData: "no_data",
    Quality: "quality",
    Usage: "usage",
    Expression: "expression",
}


def build(rules: Sequence[Rule]) -> dict[str, SignalBlock]:
    """A block for each kind among the rules.

    A rule on a value as it is gets a copy of it under its own signal: that is for rules with a gate or a schedule.

    Raises:
        ConfigurationError: an expression cannot be read.
    """
    by_kind: dict[str, list[Rule]] = {}
    for rule in sorted(rules, key=lambda rule: -rule.id):
        by_kind.setdefault(_kind(rule.signal), []).append(rule)
    return {kind: BLOCKS[kind](by_kind[kind]) for kind in sorted(by_kind)}


def _kind(signal: Signal) -> str:
    match signal:
        case Deviation(reference_id=None):
            return "setpoint"
        case Deviation():
            return "reference"
        case Window(statistic=Statistic.MAX | Statistic.MIN):
            return "window_extreme"
        case Window():
            return "window"
    return _KINDS[type(signal)]
