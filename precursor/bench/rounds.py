"""Contenders in turn, medians of what they took: a machine that swings by a factor of three swings for all alike."""

import random
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Contender", "Watch", "take_turns"]

Contender = Callable[[int], Awaitable[None]]
"""does its work once, for the round of this number; round 0 is not timed"""

Watch = Callable[[str], None]
"""told of every step before it begins"""


async def take_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, float]:
    """Median seconds of a round of each contender. Every round has them all, in an order of its own.

    The order is shuffled (the same way in every run): whoever always comes after the same neighbour finds the
    database as that one left it, which made a tenth and more of a difference.

    Args:
        contenders: by name.
        rounds: how many are timed, at least 1; one more comes before them, to warm up.
    """
    took_s: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    orders = random.Random(rounds)
    for number in range(rounds + 1):
        orders.shuffle(names)
        for name in names:
            begun_s = time.perf_counter()
            await contenders[name](number)
            if number:
                took_s[name].append(time.perf_counter() - begun_s)
    return {name: statistics.median(samples) for name, samples in took_s.items()}
