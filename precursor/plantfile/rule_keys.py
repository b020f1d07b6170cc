"""Whether a rule has the keys of its kind, and whether what they name is there."""

from collections.abc import Collection

from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from precursor.plantfile.rule_drafts import description, given
from precursor.plantfile.rule_entries import RuleEntry, WatchEntry
from precursor.plantfile.rule_kinds import COMMON_KEYS, KINDS
from precursor.plantfile.rule_subjects import WrittenRule
from rules.definition import MAX_DELAY_S, Priority
from telemetry.names import closest

__all__ = ["SENSOR_QUALITY", "RuleKeys"]

SENSOR_QUALITY = "sensor-quality"
"""the name of the rules that watched sensors get by themselves"""

_PERIODS = ("on_delay", "off_delay", "for", "window", "within")


class RuleKeys:
    """Looks at the keys of rules, before anything is made of them."""

    def __init__(self, plans: Collection[str], schedules: Collection[str], notes: Notes) -> None:
        self._plans = plans
        self._schedules = schedules
        self._notes = notes

    def is_whole(self, written: WrittenRule) -> bool:
        """Whether the rule has the keys of its kind."""
        entry, path, kind = written.entry, written.path, KINDS[written.entry.kind]
        before = len(self._notes.problems)
        said = given(entry)
        self.check(entry, entry, path)
        for key in kind.needs:
            if key not in said:
                self._notes.add((*path, key), f"missing; expected {description(key)}")
        if written.asset_class is not None and "assets" in said:
            self._notes.add((*path, "assets"), "a template is for the assets of its class; leave assets out")
        needs_sensors = "sensors" in kind.keys and not ("assets" in kind.keys and written.asset_class is not None)
        if "sensors" in kind.keys and "assets" in kind.keys and written.asset_class is None:
            if len({"sensors", "assets"} & said) != 1:
                self._notes.add(path, "expected either sensors, each by itself, or assets, each as a whole")
        elif needs_sensors and not {"sensors", "assets"} & said:
            self._notes.add((*path, "sensors"), f"missing; expected {description('sensors')}")
        elif "sensors" not in kind.keys and written.asset_class is None and not {"sensors", "assets"} & said:
            self._notes.add((*path, "assets"), f"missing; expected {description('assets')}")
        if entry.name == SENSOR_QUALITY and entry.kind != "quality":
            message = f"{SENSOR_QUALITY} is what the rules of sensor_quality are called; choose another"
            self._notes.add((*path, "name"), message)
        return len(self._notes.problems) == before

    def check(self, entry: WatchEntry, rule: RuleEntry, path: Path) -> None:
        """Put down what is wrong with the keys of a rule, or of what an asset says differently of it."""
        kind, said = KINDS[rule.kind], given(entry)
        for key in kind.needs:
            if key in said and getattr(entry, "for_" if key == "for" else key) is None:
                self._notes.add((*path, key), f"nothing stands here; expected {description(key)}")
        for key in sorted(said - kind.keys - COMMON_KEYS - {"sensors", "assets", "off"}):
            self._notes.add((*path, key), f"a rule of kind {rule.kind} has no {key}; leave it out")
        for key in ("sensors", "assets"):
            if key in said - kind.keys:
                other = "assets" if key == "sensors" else "sensors"
                self._notes.add((*path, key), f"a rule of kind {rule.kind} is on {other}; expected {other}")
        if entry.job_plan is not None:
            if entry.failure_mode is None and rule.failure_mode is None:
                message = "a job plan without a failure_mode: no work order would use it; expected failure_mode"
                self._notes.add((*path, "job_plan"), f"{message} beside it")
            if entry.job_plan not in self._plans and "job_plans" not in self._notes.unsure:
                hint = closest(entry.job_plan, self._plans)
                message = f"there is no job plan {entry.job_plan!r}; expected one of job_plans{hint}"
                self._notes.add((*path, "job_plan"), message)
        for key in _PERIODS:
            seconds = getattr(entry, "for_" if key == "for" else key)
            if seconds is not None and seconds > MAX_DELAY_S:
                self._notes.add((*path, key), f"longer than {MAX_DELAY_S / 86_400:g} days; expected less")
        unknown = entry.schedule is not None and entry.schedule not in self._schedules
        if entry.schedule is not None and unknown and "schedules" not in self._notes.unsure:
            hint = closest(entry.schedule, self._schedules)
            message = f"there is no schedule {entry.schedule!r}; expected one of schedules{hint}"
            self._notes.add((*path, "schedule"), message)
        priority = entry.priority or rule.priority
        if "critical_priority" in said and Priority[entry.critical_priority.upper()] < Priority[priority.upper()]:
            message = f"{entry.critical_priority} is below priority, {priority}; expected it or higher"
            self._notes.add((*path, "critical_priority"), message)
