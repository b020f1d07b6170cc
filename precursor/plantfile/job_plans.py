"""Job plans of a plant file."""

from collections.abc import Sequence

from precursor.plantfile.definition import JobPlanDefinition
from precursor.plantfile.entries import JobPlanEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path

__all__ = ["job_plans"]


def job_plans(entries: Sequence[JobPlanEntry], notes: Notes) -> tuple[JobPlanDefinition, ...]:
    """The job plans of a file."""
    names: dict[str, Path] = {}
    for place, entry in enumerate(entries):
        notes.once(names, entry.name, ("job_plans", place, "name"), "job plan name")
    return tuple(
        JobPlanDefinition(
            name=entry.name,
            title=entry.title,
            tasks=tuple(entry.tasks),
            parts=tuple((part.name, part.quantity) for part in entry.parts),
            skills=tuple(entry.skills),
            labour_hours=entry.hours,
            due_within_s=entry.due_within,
        )
        for entry in entries
    )
