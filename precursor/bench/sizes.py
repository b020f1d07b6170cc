"""How much is measured."""

from dataclasses import dataclass, replace
from typing import Self

__all__ = ["FULL", "QUICK", "Sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much work each measure does; the figures are rates, but small work gives poor ones."""

    name: str
    sensors: int
    """a multiple of 10"""
    batch_rows: int
    """of one COPY; a multiple of `sensors`"""
    store_rounds: int
    rollup_rounds: int
    rollup_batches: int
    """stored between two runs of the rollups' job"""
    storage_seconds: int
    """of a hundred sensors, to see what readings take on disk"""
    decode_messages: int
    """of one reading; a hundredth as many of 100 readings, ten times over"""
    decode_rounds: int
    single_messages: int
    """of one reading, in a queue"""
    hundred_messages: int
    """of 100 readings, in a queue"""
    live_messages: int
    """of one reading, sent to a running engine"""
    mqtt_rounds: int
    latency_s: float

    def for_slow_broker(self) -> Self:
        """A tenth of the messages, for a broker that takes seconds for what others do in a moment."""
        return replace(
            self,
            name=f"{self.name}, a tenth of the messages",
            single_messages=self.single_messages // 10,
            hundred_messages=max(3, self.hundred_messages // 10),
            live_messages=self.live_messages // 10,
        )


FULL = Sizes(
    name="full",
    sensors=1_000,
    batch_rows=10_000,
    store_rounds=40,
    rollup_rounds=5,
    rollup_batches=30,
    storage_seconds=50_000,
    decode_messages=5_000,
    decode_rounds=15,
    single_messages=100_000,
    hundred_messages=4_000,
    live_messages=50_000,
    mqtt_rounds=3,
    latency_s=6.0,
)
QUICK = Sizes(
    name="quick",
    sensors=100,
    batch_rows=1_000,
    store_rounds=3,
    rollup_rounds=2,
    rollup_batches=10,
    storage_seconds=500,
    decode_messages=200,
    decode_rounds=3,
    single_messages=1_000,
    hundred_messages=30,
    live_messages=500,
    mqtt_rounds=1,
    latency_s=0.5,
)
"""to see in some seconds that it works; its figures say little"""
