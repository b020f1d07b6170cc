"""What a planner does about a failure mode: tasks, parts, skills, hours, and how soon."""

from dataclasses import dataclass

__all__ = ["JobPlan", "Part"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A spare part of a job."""

    name: str
    quantity: float
    """pieces, or whatever the stores count this part in"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The prepared answer to a failure mode; a work order takes a copy of it as it stands on that day."""

    id: int
    name: str
    title: str
    tasks: tuple[str, ...]
    """in the order of doing"""
    parts: tuple[Part, ...]
    skills: tuple[str, ...]
    """trades needed, e.g. mechanic, electrician"""
    labour_hours: float
    """person-hours, not elapsed time"""
    due_within_s: float
    """seconds from the opening of the work order to its due date"""
