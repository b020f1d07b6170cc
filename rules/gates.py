"""`Gates`: rules that apply only while another sensor says so, such as while a machine runs."""

import numpy as np
import numpy.typing as npt

from rules.admission import Admission, Edges
from rules.definition import Gate, Rule
from rules.instances import NEVER
from rules.samples import Samples
from rules.signal import NoData
from telemetry.batch import ReadingBatch
from telemetry.quality import usable
from telemetry.snapshot import pack, unpack

__all__ = ["Gates"]

_LABEL = "gates/1"
_FOR_EVER = np.iinfo(np.int64).max

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


class Gates:
    """Lets the samples of gated rules through while their gate is open.

    A usable reading of the gate's sensor opens or closes it; bad and stale ones change nothing, and as long as
    nothing is known it is closed. A sample counts from `settle_s` after the opening, that instant included, until
    before the closing; the closing itself ends what stands or runs. What was measured before the opening says nothing
    of the time after it; only silence (`NoData`) counts anew from there.

    Args:
        rules: those without a gate are passed over.
    """

    def __init__(self, rules: list[Rule]) -> None:
        gated = [rule for rule in rules if rule.gate is not None]
        self._admission = Admission(gated, [isinstance(rule.signal, NoData) for rule in gated])
        gates = {rule.gate: None for rule in self._admission.rules if rule.gate is not None}
        self._gates = sorted(gates, key=_key)
        place = {gate: position for position, gate in enumerate(self._gates)}
        self._gate = np.array([place[rule.gate] for rule in self._admission.rules if rule.gate is not None], np.intp)
        """of each rule, position in `_gates`"""
        self._rows = [np.flatnonzero(self._gate == position) for position in range(len(self._gates))]
        self._sensor_ids = np.array([gate.sensor_id for gate in self._gates], np.int32)
        self._settle = np.array([round(gate.settle_s * 1e6) for gate in self._gates], np.int64)
        self._clear()

    def _clear(self) -> None:
        count = len(self._gates)
        self._value: Values = np.full(count, np.nan)
        """last usable one of the gate's sensor"""
        self._at: Times = np.full(count, NEVER, np.int64)
        self._open = np.zeros(count, np.bool_)
        self._since: Times = np.full(count, NEVER, np.int64)
        """when it opened last"""
        self._settled = np.zeros(count, np.bool_)
        """open, and the time to settle is over"""

    @property
    def signal(self) -> npt.NDArray[np.int32]:
        """The signals of the gated rules, sorted."""
        return self._admission.signal

    def fold(self, samples: Samples, batch: ReadingBatch, until: Times) -> Samples:
        """Let samples through.

        Args:
            samples: of any rules, sorted by (signal, time).
            batch: readings among which are those of the gates, sorted by (sensor_id, time).
            until: for each of `signal` up to when (us, inclusive) everything is known; samples and readings are later
                than it was at the call before, and not later than it is now.
        """
        if not self._gates:
            return samples
        mine, row = self._admission.find(samples)
        gated = Samples(signal=samples.signal[mine], time=samples.time[mine], value=samples.value[mine])
        gate = self._gate[row]
        by_gate = np.argsort(gate, kind="stable")
        starts = np.searchsorted(gate[by_gate], np.arange(len(self._gates) + 1))
        readings = batch.take(usable(batch.quality))
        first = np.searchsorted(readings.sensor_id, self._sensor_ids, side="left")
        last = np.searchsorted(readings.sensor_id, self._sensor_ids, side="right")
        known = np.full(len(self._gates), NEVER, np.int64)
        np.maximum.at(known, self._gate, until)
        opening = self._open & ~self._settled & (self._since + self._settle <= known)

        parts = [Samples(signal=samples.signal[~mine], time=samples.time[~mine], value=samples.value[~mine])]
        for position in np.flatnonzero((np.diff(starts) > 0) | (last > first) | opening).tolist():
            span = slice(int(first[position]), int(last[position]))
            edges = self._edges(position, readings.time[span], readings.value[span], int(known[position]))
            rows = self._rows[position]
            own = by_gate[starts[position] : starts[position + 1]]
            parts.append(
                self._admission.admit(
                    edges,
                    rows,
                    Samples(signal=gated.signal[own], time=gated.time[own], value=gated.value[own]),
                    begin=np.zeros(rows.size, np.intp),
                    end=np.full(rows.size, edges.time.size),
                )
            )
        return Samples.merged(parts)

    def waiting(self) -> npt.NDArray[np.int32]:
        """Signals of silent rules to which time alone will bring the end of settling."""
        rows = np.flatnonzero((self._open & ~self._settled)[self._gate]) if self._gates else np.empty(0, np.intp)
        return self._admission.signal[rows[self._admission.is_carried(rows)]]

    def begun(self) -> npt.NDArray[np.int32]:
        """The signals of rules of which anything was seen here."""
        return self._admission.begun()

    def reset(self, rule_ids: npt.NDArray[np.int32]) -> None:
        """What was measured of these rules does not hold any more."""
        self._admission.reset(rule_ids)

    def snapshot(self) -> bytes:
        """The whole state; `restore` continues from it exactly."""
        return pack(
            _LABEL,
            {
                **self._admission.state(),
                "gate": self._gate,
                "keys": np.array([_key(gate) for gate in self._gates], np.float64).reshape(-1, 4),
                "value": self._value,
                "at": self._at,
                "since": self._since,
                "settled": self._settled,
            },
        )

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, also one taken with other rules.

        A gate whose ends are others now is as the last reading of its sensor says.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        stored = [tuple(key) for key in arrays["keys"].tolist()]
        place = {key: position for position, key in enumerate(stored)}
        of_sensor = {key[0]: position for position, key in enumerate(stored)}
        self._clear()
        for position, gate in enumerate(self._gates):
            same = place.get(_key(gate))
            there = of_sensor.get(gate.sensor_id) if same is None else same
            if there is None:
                continue
            self._value[position], self._at[position] = arrays["value"][there], arrays["at"][there]
            self._open[position] = gate.low <= self._value[position] <= gate.high
            self._since[position] = arrays["since" if same is not None else "at"][there]
            self._settled[position] = same is not None and arrays["settled"][there]
        now = {rule.id: _key(rule.gate) for rule in self._admission.rules if rule.gate is not None}
        then = [stored[position] for position in arrays["gate"].tolist()]
        rule_ids = arrays["rule_id"].tolist()
        unchanged = [now.get(rule_id) == key for rule_id, key in zip(rule_ids, then, strict=True)]
        self._admission.restore(arrays, np.array(unchanged, np.bool_))

    def _edges(self, position: int, time: Times, value: Values, until: int) -> Edges:
        """When one gate lets through, by readings of its sensor; moves its state."""
        gate, settle = self._gates[position], int(self._settle[position])
        was_open, settled = bool(self._open[position]), bool(self._settled[position])
        within = (value >= gate.low) & (value <= gate.high)
        turns = np.flatnonzero(within != np.append(was_open, within[:-1])) if time.size else np.empty(0, np.intp)
        opened, closed = time[turns[within[turns]]], time[turns[~within[turns]]]
        if was_open and not settled:
            opened = np.append(self._since[position], opened)
        ended = closed[:1] if settled else closed[:0]
        closed = closed[ended.size :]
        is_open = opened.size > closed.size
        begins, ends = opened + settle, np.append(closed, _FOR_EVER) if is_open else closed
        counts = (begins < ends) & (begins <= until)
        edges = np.append(ended, np.column_stack((begins, ends))[counts].ravel())

        if time.size:
            self._value[position], self._at[position] = value[-1], time[-1]
        if opened.size:
            self._since[position] = opened[-1]
        stays = settled and not ended.size
        self._open[position] = stays or is_open
        self._settled[position] = stays or (is_open and bool(counts[-1]))
        return Edges(time=edges[edges < _FOR_EVER], open_before=settled)


def _key(gate: Gate) -> tuple[int, float, float, float]:
    return gate.sensor_id, gate.low, gate.high, gate.settle_s
