"""A backtest from rules and readings to a report."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import asyncpg

from precursor.backtest.envelope import Envelopes
from precursor.backtest.quiet import Bands, plain_sensors
from precursor.backtest.readings import DisorderError, FileReadings, Progress, Seen, stored_readings
from precursor.backtest.report import Outcome, Rate, Report, Suggestion, rule_figures
from precursor.backtest.rule_set import RuleSet
from precursor.backtest.run import Run
from precursor.backtest.stored_values import Levels, eventful_readings
from rules.comparison import compare
from rules.definition import Rule
from rules.lead_time import HORIZON, Failure, foresight
from rules.occurrences import Occurrence, by_source, spans_of
from rules.performance import measure
from rules.suggestions import Histories, Proposal, candidates, propose, value_rules
from telemetry.batch import ReadingBatch
from telemetry.plant import AssetState
from telemetry.reading_files import ReadingSource

__all__ = ["FileData", "Question", "StoredData", "backtest"]

_LONG_ENOUGH = timedelta(days=29.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be found out."""

    name: str
    """of the rules, for people"""
    rules: RuleSet
    begin: datetime
    end: datetime
    old_name: str = ""
    old: RuleSet | None = None
    """rules to compare with"""
    failures: tuple[Failure, ...] | None = None
    horizon: timedelta = HORIZON
    operators: int = 1
    suggest: bool = False
    draw: bool = False
    """whether there will be a page: lows and highs of all sensors are kept for it"""
    align_s: float = 10.0


class Pass(Protocol):
    """Looks at readings while they go by once."""

    @property
    def watched(self) -> Sequence[int]:
        """Ids of the sensors it looks at."""

    @property
    def side_by_side(self) -> bool:
        """Whether it needs all sensors side by side in time."""

    @property
    def rules(self) -> Sequence[Rule]:
        """All that it evaluates."""

    @property
    def only_rules(self) -> bool:
        """Whether readings in which nothing can happen to the rules may be passed over."""

    def fold(self, batch: ReadingBatch) -> None:
        """Readings by (sensor_id, time)."""

    def pass_over(self, levels: Levels) -> None:
        """Readings that were not looked at one by one, as rollups."""


_Pass = TypeVar("_Pass", bound=Pass)


class Data(Protocol):
    """Readings of a range, from wherever, as often as needed."""

    name: str

    async def show(self, make: Callable[[], _Pass], on_progress: Progress) -> tuple[_Pass, Seen]:
        """Show all readings to a pass; it is made anew if they turn out to be in another order than was hoped."""


class FileData:
    """A file. `names`: sensor ids by the names it may have."""

    def __init__(
        self,
        table: ReadingSource,
        names: Mapping[str, int],
        begin: datetime | None,
        end: datetime | None,
        *,
        timezone: str | None = None,
    ) -> None:
        self.name = table.name
        self._table, self._names, self._timezone = table, names, timezone
        self._range = begin, end

    async def show(self, make: Callable[[], _Pass], on_progress: Progress) -> tuple[_Pass, Seen]:
        """See `Data`."""
        seen, made = Seen(), make()
        readings = self._readings(made)
        try:
            for batch in readings.batches(seen, side_by_side=made.side_by_side, on_progress=on_progress):
                made.fold(batch)
                # Where Ctrl-C comes through.
                await asyncio.sleep(0)
        except DisorderError:
            seen, made = Seen(), make()
            with readings.laid_out(seen, on_progress) as batches:
                for batch in batches:
                    made.fold(batch)
                    on_progress(seen.readings, seen.readings / max(seen.rows, 1))
                    await asyncio.sleep(0)
        return made, seen

    def _readings(self, made: Pass) -> FileReadings:
        watched = set(made.watched)
        ids = {name: number for name, number in self._names.items() if number in watched}
        return FileReadings(self._table, ids, *self._range, timezone=self._timezone)


class StoredData:
    """The readings in the database."""

    name = "stored readings"

    def __init__(self, connection: asyncpg.Connection, begin: datetime, end: datetime) -> None:
        self._connection = connection
        self._range = begin, end

    async def show(self, make: Callable[[], _Pass], on_progress: Progress) -> tuple[_Pass, Seen]:
        """See `Data`."""
        seen, made = Seen(), make()
        connection, (begin, end) = self._connection, self._range
        plain = plain_sensors(made.rules) if made.only_rules else []
        whole = sorted(set(made.watched) - set(plain))
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            if whole:
                share = len(whole) / (len(whole) + len(plain))
                shown = _part(on_progress, 0, share)
                await _fold_all(stored_readings(connection, whole, begin, end, seen, on_progress=shown), made)
            if plain:
                shown = _part(on_progress, 1 - len(plain) / (len(whole) + len(plain)), 1)
                bands = Bands(plain, made.rules)
                await _fold_all(
                    eventful_readings(
                        connection, bands, plain, begin, end, seen, passed_over=made.pass_over, on_progress=shown
                    ),
                    made,
                )
        return made, seen


def _part(on_progress: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of the work."""
    return lambda readings, part: on_progress(readings, None if part is None else begin + part * (end - begin))


async def _fold_all(batches: AsyncGenerator[ReadingBatch, None], made: Pass) -> None:
    folding: asyncio.Task[None] | None = None
    try:
        async with aclosing(batches) as each:
            async for batch in each:
                if folding is not None:
                    await folding
                # What comes next is fetched meanwhile.
                folding = asyncio.create_task(asyncio.to_thread(made.fold, batch), name="backtest fold")
    finally:
        if folding is not None:
            await folding


class _Trial:
    """Rules, old and new, and whatever else is noted on the way."""

    def __init__(self, question: Question) -> None:
        new = question.rules.rules
        self.new = Run(new, align_s=question.align_s)
        self.old = None if question.old is None else Run(question.old.rules, align_s=question.align_s)
        self._runs = [self.new] if self.old is None else [self.new, self.old]
        self.side_by_side = any(run.side_by_side for run in self._runs)
        watched = {sensor for run in self._runs for sensor in run.sensor_ids}
        self.envelopes = Envelopes(sorted(watched), question.begin, question.end) if question.draw else None
        self.histories = None
        if question.suggest:
            tried = [rule.sensor_id for rule in value_rules(new) if rule.sensor_id is not None]
            states = {state for sensor in tried if (state := question.rules.points[sensor].state_id) is not None}
            self.histories = Histories(tried, sorted(states))
            watched |= states
        self.watched = sorted(watched)
        self.rules = tuple(rule for run in self._runs for rule in run.rules)
        self.only_rules = self.histories is None

    def pass_over(self, levels: Levels) -> None:
        if self.envelopes is not None:
            self.envelopes.note_levels(levels)

    def fold(self, batch: ReadingBatch) -> None:
        for run in self._runs:
            run.fold(batch)
        if self.histories is not None:
            self.histories.note(batch)
        if self.envelopes is not None:
            self.envelopes.note(batch)


async def backtest(question: Question, data: Data, *, on_progress: Progress = lambda readings, part: None) -> Report:
    """What the rules would have done over the data.

    Raises:
        ConfigurationError: the data cannot be read.
        PrecursorError: the database went away.
    """
    begun = time.monotonic()
    trial, seen = await data.show(lambda: _Trial(question), on_progress)
    new = _outcome(question, question.name, question.rules, trial.new.finish(question.end))
    old = None
    if question.old is not None and trial.old is not None:
        old = _outcome(question, question.old_name, question.old, trial.old.finish(question.end))
    suggestions = None
    if trial.histories is not None:
        suggestions = await _suggestions(question, data, trial.histories, new.occurrences, on_progress)
    return Report(
        data=data.name,
        begin=question.begin,
        end=question.end,
        seen=seen,
        wall_s=time.monotonic() - begun,
        new=new,
        old=old,
        difference=None if old is None else compare(new.occurrences, old.occurrences, question.end),
        suggestions=suggestions,
        notes=tuple(_notes(question, seen)),
        envelopes=trial.envelopes,
    )


def _outcome(question: Question, name: str, rules: RuleSet, occurrences: tuple[Occurrence, ...]) -> Outcome:
    begin, end, operators = question.begin, question.end, question.operators
    return Outcome(
        name=name,
        rules=rules,
        occurrences=occurrences,
        performance=measure(occurrences, begin, end, operators=operators),
        by_rule=rule_figures(rules, occurrences, begin, end, operators),
        foresight=None
        if question.failures is None
        else foresight(
            occurrences,
            question.failures,
            begin,
            end,
            machine_of=rules.machine_of,
            machines={rules.machine_of[rule.asset_id][0] for rule in rules.rules},
            horizon=question.horizon,
        ),
    )


async def _suggestions(
    question: Question,
    data: Data,
    histories: Histories,
    occurrences: Sequence[Occurrence],
    on_progress: Progress,
) -> tuple[Suggestion, ...]:
    proposals: list[Proposal] = []
    for rule in value_rules(question.rules.rules):
        assert rule.sensor_id is not None
        point = question.rules.points[rule.sensor_id]
        history, running_only = histories.of(rule.sensor_id, point.state_id, float(AssetState.RUNNING))
        proposals += propose(rule, history, quantity=point.quantity, span=point.span, running_only=running_only)
    pairs = candidates(proposals)
    tried, _ = await data.show(
        lambda: _Candidates([each.rule for pair in pairs for each in pair], question.align_s), on_progress
    )
    found = by_source(tried.run.finish(question.end))
    days = (question.end - question.begin) / timedelta(days=1)

    def of(rule_name: str, proposal: Proposal) -> Sequence[Occurrence]:
        return found.get((proposal.rule.sensor_name, rule_name, proposal.side), ())

    now = by_source(occurrences)
    suggestions = []
    remaining = iter(pairs)
    for proposal in proposals:
        rates = []
        for percentile, limit in proposal.limits.items():
            bare, steady = (of(each.rule.name, proposal) for each in next(remaining))
            spans = spans_of(steady, question.end)
            rates.append(
                Rate(
                    percentile=percentile,
                    limit=limit,
                    per_day=len(steady) / days,
                    per_day_bare=len(bare) / days,
                    time_share=float((spans[:, 1] - spans[:, 0]).sum()) / 1e6 / (days * 86_400),
                )
            )
        source = (proposal.rule.sensor_name, proposal.rule.name, proposal.side)
        suggestions.append(
            Suggestion(proposal=proposal, now_per_day=len(now.get(source, ())) / days, rates=tuple(rates))
        )
    return tuple(suggestions)


class _Candidates:
    """Proposed limits, tried."""

    def __init__(self, rules: Sequence[Rule], align_s: float) -> None:
        self.run = Run(rules, align_s=align_s)
        self.watched = self.run.sensor_ids
        self.side_by_side = self.run.side_by_side
        self.rules = self.run.rules
        self.only_rules = True

    def pass_over(self, levels: Levels) -> None:
        """Nothing happened there."""

    def fold(self, batch: ReadingBatch) -> None:
        self.run.fold(batch)


def _notes(question: Question, seen: Seen) -> list[str]:
    notes = []
    length = question.end - question.begin
    if not seen.readings:
        notes.append("there are no readings of the rules' sensors in this range: nothing was tried")
    elif length < _LONG_ENOUGH:
        notes.append(f"{length / timedelta(days=1):.3g} days are little: judge alarms over 30 days or more")
    silent = sorted(
        {
            rule.sensor_name
            for rule in question.rules.rules
            if rule.sensor_id is not None and rule.sensor_id not in seen.sensors
        }
    )
    if silent and seen.readings:
        more = f" and {len(silent) - 5:,} more" if len(silent) > 5 else ""
        notes.append(f"no readings of {', '.join(silent[:5])}{more}: rules on them were not tried")
    if seen.flawed:
        notes.append(f"{seen.flawed:,} rows are no readings (time, value or quality is missing or not understood)")
    return notes
