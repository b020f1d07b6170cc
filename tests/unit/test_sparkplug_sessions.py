"""Any messages in any order: nothing raises, everything is accounted for, and a host that comes back goes on."""

from typing import Any

import pysparkplug
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.registry import DeviceStatus
from ingest.sessions import MetricRow, NodeRow
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.edge import EdgeNode
from ingest.sparkplug.host import HostLimits, SparkplugHost
from ingest.sparkplug.payload import PayloadMetric, metric_of
from ingest.sparkplug.state import HostMode
from ingest.sparkplug.taken import Taken
from telemetry.quality import Quality

MS = 1_700_000_000_000
NOW = MS * 1000

_TOPICS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "/".join,
        st.tuples(
            st.sampled_from(["spBv1.0", "spBv1.0", "spBv1.0", "spAv1.0", ""]),
            st.sampled_from(["g", "STATE", "", "+"]),
            st.sampled_from(["NBIRTH", "NDEATH", "NDATA", "DBIRTH", "DDEATH", "DDATA", "NCMD", "STATE", "x"]),
            st.sampled_from(["n", "n/d", "n/d/e", ""]),
        ),
    ),
)


def accounted(taken: Taken) -> None:
    assert taken.carried == len(taken.metrics) + len(taken.faults)
    assert len(taken.metrics) == len(taken.times) == len(taken.values) == len(taken.qualities)
    assert all(0 <= place < len(taken.metrics) for place in taken.historical)
    assert all(isinstance(value, str) or value - value == 0 for value in taken.values)
    assert all(0 <= time < 2**63 for time in taken.times)
    assert (taken.refused is None) or taken.faults == [taken.refused]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(_TOPICS, st.binary(max_size=60)), max_size=6))
def test_no_topic_and_no_bytes_raise(messages: list[tuple[str, bytes]]) -> None:
    host = SparkplugHost(HostMode.PRIMARY, HostLimits(reorder_s=0))
    host.take(*EdgeNode("g", "n").birth([metric_of("m", DataType.DOUBLE, 1.0, alias=1)], MS), NOW)
    for topic, payload in messages:
        accounted(host.take(topic, payload, NOW))
    host.tick(NOW)
    accounted(host.cut_off(NOW))
    host.changes()


class Saved:
    """What a database would hold."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeRow] = {}
        self.metrics: dict[str, tuple[MetricRow, ...]] = {}
        self.offline: set[str] = set()
        self.last: dict[tuple[str, str], tuple[int, float | str]] = {}

    def save(self, host: SparkplugHost, taken: Taken) -> None:
        changes = host.changes()
        self.nodes |= {row.device: row for row in changes.nodes}
        self.metrics |= {path: tuple(rows) for path, rows in changes.metrics.items()}
        for news in taken.news:
            (self.offline.add if news.status is DeviceStatus.OFFLINE else self.offline.discard)(news.path)
        past = set(taken.historical)
        rows = zip(taken.metrics, taken.times, taken.values, taken.qualities, strict=True)
        for place, (metric, time, value, quality) in enumerate(rows):
            key = (metric.path, metric.name)
            if quality == Quality.STALE and metric.value is None:
                self.last.pop(key, None)
            elif place not in past and metric.value is not None:
                assert metric.time >= time or value == metric.value
                self.last[key] = (metric.time, metric.value)

    def restored(self) -> SparkplugHost:
        return SparkplugHost.restore(
            self.nodes.values(), self.metrics, offline=self.offline, last=self.last, mode=HostMode.SECONDARY_ACTIVE
        )


def seen(taken: Taken) -> Any:
    rows = zip(taken.metrics, taken.times, taken.values, taken.qualities, strict=True)
    return (
        [(metric.path, metric.name, time, value, quality) for metric, time, value, quality in rows],
        taken.historical,
        taken.faults,
        [(news.path, news.status, news.at_us, news.is_birth) for news in taken.news],
    )


class Sessions(RuleBasedStateMachine):
    """Two edge nodes with devices, one host that runs on, and one that is restored before every message."""

    @initialize()
    def begin(self) -> None:
        self.edges = [EdgeNode("works", "a"), EdgeNode("works", "b")]
        self.host = SparkplugHost(HostMode.SECONDARY_ACTIVE)
        self.saved = Saved()
        self.now = NOW
        self.deaths: list[tuple[str, bytes]] = []

    def hear(self, wire: tuple[str, bytes]) -> None:
        self.now += 1_000
        again = self.saved.restored().take(*wire, self.now)
        taken = self.host.take(*wire, self.now)
        accounted(taken)
        assert seen(again) == seen(taken)
        self.saved.save(self.host, taken)

    def values(self, numbers: list[int], **more: Any) -> list[PayloadMetric]:
        stamp = self.now // 1000
        return [
            metric_of(
                None if more.get("by_alias") else f"m{number}",
                DataType.INT32,
                None if number == 4 else number,
                alias=number + more.get("shift", 0) if more.get("by_alias") or more.get("birth") else None,
                timestamp_ms=stamp + number,
                is_historical=number == 3,
            )
            for number in numbers
        ]

    numbers = st.lists(st.integers(1, 5), max_size=4)
    which = st.integers(0, 1)
    devices = st.sampled_from([None, "x", "y"])

    @rule(which=which, numbers=numbers, shift=st.integers(0, 1))
    def node_is_born(self, which: int, numbers: list[int], shift: int) -> None:
        metrics = self.values(numbers, birth=True, shift=shift)
        self.hear(self.edges[which].birth(metrics, self.now // 1000))

    @rule(which=which)
    def node_begins_a_session(self, which: int) -> None:
        edge = self.edges[which]
        self.deaths.append(edge.death())
        edge.bd_seq += 1

    @rule(which=which)
    def node_dies(self, which: int) -> None:
        self.hear(self.edges[which].death())

    @precondition(lambda self: self.deaths)
    @rule()
    def an_old_death_arrives(self) -> None:
        self.hear(self.deaths.pop(0))

    @rule(which=which, device=st.sampled_from(["x", "y"]), numbers=numbers)
    def device_is_born(self, which: int, device: str, numbers: list[int]) -> None:
        metrics = self.values(numbers, birth=True, shift=10)
        self.hear(self.edges[which].device_birth(device, metrics, self.now // 1000))

    @rule(which=which, device=st.sampled_from(["x", "y"]))
    def device_dies(self, which: int, device: str) -> None:
        self.hear(self.edges[which].device_death(device, self.now // 1000))

    @rule(which=which, device=devices, numbers=numbers, by_alias=st.booleans(), shift=st.sampled_from([0, 1, 10]))
    def data_arrives(self, which: int, device: str | None, numbers: list[int], by_alias: bool, shift: int) -> None:
        metrics = self.values(numbers, by_alias=by_alias, shift=shift)
        self.hear(self.edges[which].data(metrics, self.now // 1000, device))

    @rule(which=which)
    def a_message_is_lost(self, which: int) -> None:
        self.edges[which].data([], MS)

    @rule()
    def time_goes_by(self) -> None:
        self.now += 3_000_000
        self.host.tick(self.now)
        self.saved.save(self.host, Taken())

    @invariant()
    def what_is_off_has_nothing_live(self) -> None:
        if not hasattr(self, "host"):
            return
        for metric in self.host.metrics():
            assert metric.value is None or metric.time >= 0


Sessions.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestSessions = Sessions.TestCase


def test_a_restored_host_understands_aliases_without_a_new_birth() -> None:
    edge = EdgeNode("works", "a")
    host = SparkplugHost()
    biggest = 2**64 - 1
    host.take(*edge.birth([metric_of("m", DataType.INT8, 1, alias=biggest, timestamp_ms=MS)], MS), NOW)
    host.take(*edge.device_birth("d", [metric_of("n", DataType.DOUBLE, 1.0, alias=2, timestamp_ms=MS)], MS), NOW)
    changes = host.changes()
    assert [(row.device, row.bd_seq, row.seq, row.born_us) for row in changes.nodes] == [("works/a", 0, 1, MS * 1000)]
    assert not host.changes()
    again = SparkplugHost.restore(changes.nodes, changes.metrics)
    (reading,) = again.take(
        *edge.data([metric_of(None, DataType.INT8, -5, alias=biggest, timestamp_ms=MS, with_datatype=False)], MS), NOW
    ).values
    assert reading == -5
    assert again.counts == {}
    assert again.take(
        *edge.data([metric_of(None, DataType.DOUBLE, 2.0, alias=2, timestamp_ms=MS)], MS, "d"), NOW
    ).values


def test_a_restored_host_knows_no_aliases_of_a_session_that_is_over() -> None:
    edge = EdgeNode("works", "a")
    host = SparkplugHost()
    host.take(*edge.birth([metric_of("m", DataType.DOUBLE, 1.0, alias=1, timestamp_ms=MS)], MS), NOW)
    host.take(*edge.death(), NOW)
    changes = host.changes()
    again = SparkplugHost.restore(changes.nodes, changes.metrics, offline={"works/a"})
    taken = again.take(*edge.data([metric_of(None, DataType.DOUBLE, 2.0, alias=1, timestamp_ms=MS)], MS), NOW)
    assert (taken.values, len(taken.faults)) == ([], 1)


def test_a_restored_host_saves_only_what_changes() -> None:
    edge = EdgeNode("works", "a")
    host = SparkplugHost()
    host.take(*edge.birth([metric_of("m", DataType.DOUBLE, 1.0, alias=1, timestamp_ms=MS)], MS), NOW)
    changes = host.changes()
    again = SparkplugHost.restore(changes.nodes, changes.metrics)
    assert not again.changes()
    transient = metric_of(None, DataType.DOUBLE, 2.0, alias=1, timestamp_ms=MS, is_transient=True)
    again.take(*edge.data([transient], MS), NOW)
    saved = again.changes()
    assert [row.seq for row in saved.nodes] == [1]
    assert saved.metrics == {}


def test_a_restored_host_whose_number_is_not_known_takes_any() -> None:
    edge = EdgeNode("works", "a")
    host = SparkplugHost.restore(
        [NodeRow(device="works/a", bd_seq=0, seq=None, born_us=NOW)],
        {"works/a": [MetricRow(name="m", alias=1, datatype=DataType.DOUBLE)], "works/z/d": []},
    )
    edge.seq = 77
    taken = host.take(*edge.data([metric_of(None, DataType.DOUBLE, 2.0, alias=1, timestamp_ms=MS)], MS), NOW)
    assert (taken.values, taken.notes, host.counts) == ([2.0], [], {})


def test_a_restored_host_sees_what_it_missed_as_a_gap() -> None:
    edge = EdgeNode("works", "a")
    host = SparkplugHost()
    host.take(*edge.birth([], MS), NOW)
    changes = host.changes()
    edge.data([], MS)
    again = SparkplugHost.restore(changes.nodes, changes.metrics, mode=HostMode.PRIMARY)
    again.take(*edge.data([], MS), NOW)
    assert len(again.tick(NOW + 2_000_000)) == 1


def test_an_edge_node_that_we_did_not_write_is_understood() -> None:
    def theirs(name: str, value: Any, **more: Any) -> pysparkplug.Metric:
        return pysparkplug.Metric(timestamp=MS, name=name, datatype=more.pop("kind"), value=value, **more)

    double, int64 = pysparkplug.DataType.DOUBLE, pysparkplug.DataType.INT64
    bd_seq = theirs("bdSeq", 3, kind=int64)
    birth = pysparkplug.NBirth(timestamp=MS, seq=0, metrics=[theirs("t", 1.5, kind=double, alias=8), bd_seq])
    data = pysparkplug.NData(timestamp=MS, seq=1, metrics=[theirs("t", 2.5, kind=double)])
    death = pysparkplug.NDeath(timestamp=MS, bd_seq_metric=bd_seq)
    host = SparkplugHost()
    assert host.take("spBv1.0/g/NBIRTH/n", birth.encode(), NOW).values == [1.5]
    assert host.take("spBv1.0/g/NDATA/n", data.encode(), NOW).values == [2.5]
    taken = host.take("spBv1.0/g/NDEATH/n", death.encode(), NOW)
    assert (taken.values, taken.qualities) == ([2.5], [Quality.STALE])
    assert host.counts == {}
