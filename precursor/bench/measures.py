"""What is measured: every figure of every bench by name, its unit, what its limit is, what we aim at."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["MEASURES", "Measure"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure, described."""

    name: str
    """`stage.what`; never renamed, figures of different versions are compared by it"""
    unit: str
    work: str
    """what is done, in a few words"""
    limit: str = ""
    """the barest means beside it; empty: there is none"""
    aim: str = ""
    """what we want to reach on the reference machine (2 cores); empty: only to be known"""


_RAW_COPY = "raw COPY BINARY of encoded, sorted rows into the same table, one statement a batch"

_BARE_COMPARISON = "the same values compared with the same limits by NumPy, nothing kept of it"

_MEASURES = (
    Measure(
        name="store.copy",
        unit="rows/s",
        work="sort, encode and store new readings, one transaction a batch",
        limit=_RAW_COPY,
        aim="ratio >= 0.85",
    ),
    Measure(
        name="store.collide",
        unit="rows/s",
        work="the same batches once more, all of them duplicates",
        limit="that of store.copy",
        aim="ratio >= 0.4",
    ),
    Measure(name="store.encode", unit="readings/s", work="columns to the body of COPY BINARY, nothing else"),
    Measure(
        name="store.rollups",
        unit="rows/s",
        work="new readings stored and rolled up, the job after every 30 batches, nothing at the same time",
        limit="the same batches in the same run, stored only",
        aim="ratio >= 0.75",
    ),
    Measure(
        name="store.bytes_per_reading",
        unit="bytes",
        work="readings of simulated machines at sensor resolution on disk, indexes and all, compressed where possible",
        aim="<= 3 on TimescaleDB community",
    ),
    Measure(
        name="ingest.decode_single",
        unit="readings/s",
        work="JSON messages of one reading to columns, checked",
        limit="msgspec.json.decode of the same payloads to plain Python objects",
    ),
    Measure(
        name="ingest.decode_array_100",
        unit="readings/s",
        work="JSON arrays of 100 readings to columns, checked",
        limit="msgspec.json.decode of the same payloads to plain Python objects",
    ),
    Measure(
        name="ingest.decode_columnar_100",
        unit="readings/s",
        work="JSON columns of 100 readings (10 sensors, 10 instants) to columns, checked",
        limit="msgspec.json.decode of the same payloads to plain Python objects",
    ),
    Measure(
        name="ingest.decode_sparkplug_100",
        unit="readings/s",
        work="Sparkplug B data of 100 metrics by alias to columns, checked",
        limit="protobuf parsing the same payloads, nothing read out of them",
    ),
    Measure(
        name="mqtt.single_qos1",
        unit="messages/s",
        work="a queue of messages of one reading, QoS 1: decode, store, ledger, acknowledge after COMMIT",
        limit="a stock paho-mqtt loop on an equal queue that acknowledges and does nothing else",
        aim=">= 20,000 and ratio >= 2",
    ),
    Measure(
        name="mqtt.json_array_100",
        unit="readings/s",
        work="the same with JSON arrays of 100 readings",
        limit=_RAW_COPY,
        aim=">= 150,000",
    ),
    Measure(
        name="mqtt.json_columnar_100",
        unit="readings/s",
        work="the same with JSON columns of 100 readings",
        limit=_RAW_COPY,
        aim=">= 150,000 and ratio >= 0.5",
    ),
    Measure(
        name="mqtt.sparkplug_100",
        unit="readings/s",
        work="the same with Sparkplug B data of 100 metrics, the publisher on the same machine at the same time:"
        " first publish to last COMMIT",
        limit=_RAW_COPY,
        aim=">= 150,000 and ratio >= 0.5",
    ),
    Measure(
        name="mqtt.live_qos1",
        unit="messages/s",
        work="the first, with the publisher on the same machine at the same time: first publish to last COMMIT",
    ),
    Measure(
        name="mqtt.latency_p50",
        unit="ms",
        work="publish to committed at half the rate of mqtt.live_qos1, median",
    ),
    Measure(
        name="mqtt.latency_p99",
        unit="ms",
        work="publish to committed at half the rate of mqtt.live_qos1, 99th percentile",
        aim="<= 250",
    ),
    Measure(
        name="query.rollup_year",
        unit="ms",
        work="a year of hourly means of one sensor with a reading a second, of a thousand, read as columns, median",
        limit="the same out of the readings",
        aim="<= 20 and ratio <= 0.002",
    ),
    Measure(
        name="query.last_values",
        unit="ms",
        work="last value and last usable value of each of a thousand sensors, median",
        limit="one probe of the index a sensor, answered with a count",
        aim="<= 50",
    ),
    Measure(
        name="rules.evaluations",
        unit="evaluations/s",
        work="20,000 limits on 10,000 sensors, a reading of each in a batch, all within their limits; one core",
        limit=_BARE_COMPARISON,
        aim=">= 2,000,000",
    ),
    Measure(
        name="rules.evaluations_noisy",
        unit="evaluations/s",
        work="the same, every reading beyond one limit of its sensor or the other: delays begin and end all the time",
        limit=_BARE_COMPARISON,
        aim=">= 2,000,000",
    ),
    Measure(
        name="rules.long_segments",
        unit="evaluations/s",
        work="two limits on one sensor, 200,000 readings in a batch, all within their limits",
        limit=_BARE_COMPARISON,
        aim=">= 100,000,000",
    ),
    Measure(
        name="rules.long_segments_noisy",
        unit="evaluations/s",
        work="the same, for a hundred readings of each thousand beyond a limit, raised and cleared",
        limit=_BARE_COMPARISON,
        aim=">= 20,000,000",
    ),
    Measure(
        name="rules.ingest_share",
        unit="readings/s",
        work="a queue of JSON columns of 100 readings taken by the engine; two limits on every sensor, with an"
        " on-delay, and one reading in fifty beyond one of them",
        limit="the same without rules, in the same run and in turn",
        aim="ratio >= 0.8",
    ),
    Measure(
        name="rules.latency_p50",
        unit="ms",
        work="a reading beyond its limit published to its alarm committed, at half the rate that the engine keeps up"
        " with; three limits on every sensor, one reading in two hundred raises an alarm; median",
    ),
    Measure(
        name="rules.latency_p99",
        unit="ms",
        work="the same, 99th percentile",
        aim="<= 300",
    ),
    Measure(
        name="rules.backtest",
        unit="s",
        work="a month of a hundred sensors with a reading a second, 259 million in a Parquet file, two limits on each:"
        " `precursor backtest` without its page",
        limit="pyarrow reading the same columns of the file and nothing else",
        aim="<= 60",
    ),
    Measure(
        name="detect.univariate",
        unit="readings/s",
        work="the default detector over 10,000 sensors past their warm-up, a reading of each in a batch: scored,"
        " learned from, limits refined; one core",
        limit="river's HalfSpaceTrees with its defaults on readings of the same batches, score_one and learn_one",
        aim=">= 5,000,000 and ratio >= 200",
    ),
    Measure(
        name="detect.univariate_narrow",
        unit="readings/s",
        work="the same over 10 sensors, 1,000 readings of each in a batch",
        limit="as for detect.univariate",
    ),
    Measure(
        name="detect.auc_pr",
        unit="area",
        work="area under the precision-recall curve of the default detector on labelled readings: shifts and drifts of"
        " white to slowly wandering noise, after a normal stretch, over all sensors together",
        limit="river's HalfSpaceTrees on the same readings, the better of learning on and frozen after that stretch",
        aim="ratio >= 1",
    ),
    Measure(
        name="detect.multivariate",
        unit="samples/s",
        work="the default detector of assets over 1,000 assets past their warm-up, ten seconds of eight sensors each in"
        " a batch: put side by side in time, scored, shares told apart, learned from; one core",
        limit="the distance of the same samples from a fixed mean by a fixed matrix, nothing else",
        aim=">= 500,000",
    ),
    Measure(
        name="detect.waveform",
        unit="ms",
        work="one second at 25.6 kHz to all its features: severity, envelope, bearing, gear, shaft; one core",
        limit="a bare Fourier transform of the same samples",
        aim="<= 10",
    ),
    Measure(
        name="detect.ingest_share",
        unit="readings/s",
        work="a queue of JSON columns of 100 readings taken by the engine; the default detector on every one of 1,000"
        " sensors, the default one of assets on 125 machines of 8 of them, and faults of each sensor looked for,"
        " past their warm-up",
        limit="the same without detectors, in the same run and in turn",
        aim="ratio >= 0.8",
    ),
)

MEASURES: Mapping[str, Measure] = MappingProxyType({measure.name: measure for measure in _MEASURES})
"""every figure by its name, in the order of reports"""
