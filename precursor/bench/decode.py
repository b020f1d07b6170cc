"""The decoder's stage: payloads of each form to checked columns; beside it the parser of JSON or protobuf alone."""

import time
from collections.abc import Callable

import msgspec

from ingest.decoder import Decoder
from ingest.sparkplug.schema import WirePayload
from precursor.bench.report import LossError, Result
from precursor.bench.rounds import Watch, take_turns
from precursor.bench.sizes import Sizes
from precursor.bench.workload import Form, Workload, bench_plant

__all__ = ["DECODE_STEPS", "measure_decode"]

_PREFIX = "bench"
_FORMS: tuple[tuple[str, Form], ...] = (
    ("ingest.decode_single", "single"),
    ("ingest.decode_array_100", "array"),
    ("ingest.decode_columnar_100", "columnar"),
    ("ingest.decode_sparkplug_100", "sparkplug"),
)
DECODE_STEPS = len(_FORMS)
"""how often `measure_decode` calls `watch`"""


async def measure_decode(*, sizes: Sizes, watch: Watch) -> list[Result]:
    """Readings a second of `Decoder.decode`, for each form of payload.

    Raises:
        LossError: the decoder made more or fewer readings of the messages than they hold.
    """
    decoder = Decoder(bench_plant(sensors=sizes.sensors, prefix=_PREFIX))
    return [await _measure(name, form, decoder, sizes, watch) for name, form in _FORMS]


async def _measure(name: str, form: Form, decoder: Decoder, sizes: Sizes, watch: Watch) -> Result:
    workload = Workload(form=form, sensors=sizes.sensors, prefix=_PREFIX)
    count = sizes.decode_messages if form == "single" else sizes.decode_messages // 10
    readings = workload.total(count)
    messages = list(workload.messages(0, count))
    watch(f"{name}: {sizes.decode_rounds} rounds of {readings:,} readings")

    async def decode(_number: int) -> None:
        decoded = decoder.decode(messages, time.time_ns() // 1000)
        if len(decoded.batch) != readings:
            raise LossError(f"{name}: {len(decoded.batch)} of {readings} readings were decoded")

    async def parse(_number: int) -> None:
        read: Callable[[bytes], object] = WirePayload.FromString if form == "sparkplug" else msgspec.json.decode
        for message in messages:
            read(message.payload)

    took_s = await take_turns({"decode": decode, "parse": parse}, sizes.decode_rounds)
    return Result(name=name, value=readings / took_s["decode"], limit=readings / took_s["parse"])
