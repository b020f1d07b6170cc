"""How urgent a work order is: severity of the alarm times criticality of the asset."""

from rules.definition import Priority

__all__ = ["LEAST_URGENT", "MOST_URGENT", "due_factor", "order_priority"]

MOST_URGENT = 1
LEAST_URGENT = 5

# The lowest risk (severity 1..3 times criticality 1..5) of each priority, most urgent first. The bands are
# ours: no standard fixes them. They give 2 to a high alarm on an asset of the default criticality 3.
_BANDS = ((12, 1), (8, 2), (5, 3), (3, 4))

# Share of a job plan's time that is left for an order of this priority.
_DUE_FACTOR = {1: 0.25, 2: 0.5}


def order_priority(severity: Priority, criticality: int) -> int:
    """Priority of a work order, 1 (drop everything) to 5 (when there is time), as CMMSs commonly count.

    Criticality is 1 (a failure hardly matters) to 5 (it stops the plant). Never less urgent when one grows.

    >>> order_priority(Priority.HIGH, 5), order_priority(Priority.MEDIUM, 3), order_priority(Priority.LOW, 1)
    (1, 3, 5)

    Raises:
        ValueError: the criticality is outside 1 to 5.
    """
    if not 1 <= criticality <= 5:
        raise ValueError(f"criticality is {criticality}; it must be 1 to 5")
    risk = int(severity) * criticality
    return next((priority for lowest, priority in _BANDS if risk >= lowest), LEAST_URGENT)


def due_factor(priority: int) -> float:
    """What share of the job plan's time an order of this priority leaves, 0 to 1."""
    return _DUE_FACTOR.get(priority, 1.0)
