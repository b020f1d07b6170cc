"""Gateways of a plant file, and the checks at the door: what they mean, and how each mistake is refused."""

from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ingest.routes import topic_filter, topic_pattern
from precursor.plantfile import PlantFileError, read_plant_text
from precursor.plantfile.rows import rows
from precursor.plantfile.topics import covers, filter_fault, overlap
from telemetry.plant import DoorChecks, Gateway, PayloadFormat, ProvisionRule, UnknownNames

GOOD = """\
version: 1
sites:
  - name: works
    gateways:
      - {name: gw-1, topic: works/gw-1/readings, names: {V1: P-1.vib}}
      - name: old
        topic: works/{line}/{machine}/data
        fields: {ts: time, value: val}
        asset: "{line}-{machine}"
        unknown: provision
        provision:
          - {match: '*.temp', area: hall, class: pump, quantity: temperature, unit: degC}
      - {name: edge, format: sparkplug_b}
    areas:
      - name: hall
        assets:
          - name: P-1
            sensors:
              - {name: vib, unit: mm/s, detector: ewma}
              - {name: temp, unit: degC, range: [-40, 392 degF], flat_line: 10 min, spike: 9 degF, rate: 1 s}
              - {name: state, kind: state, rate: 5 s}
"""
RULE = "{match: '*.temp', area: hall, class: pump, quantity: temperature, unit: degC}"
CHECKS = "range: [-40, 392 degF], flat_line: 10 min, spike: 9 degF, rate: 1 s"

CASES = {
    "format": ("format: sparkplug_b", "format: sparkplug", 13, "gateways[2].format", "did you mean 'sparkplug_b'"),
    "no topic": ("topic: works/gw-1/readings, ", "", 5, "gateways[0].topic", "missing; expected the MQTT topic"),
    "brace inside a level": ("works/{line}/{m", "works/l{line}/{m", 7, "gateways[1].topic", "around a whole level"),
    "brace never closed": ("works/{line}/{m", "works/{line/{m", 7, "gateways[1].topic", "around a whole level"),
    "level name": ("works/{line}/{m", "works/{my line}/{m", 7, "gateways[1].topic", "letters, digits and '_'"),
    "level name twice": ("/{machine}/data", "/{line}/data", 7, "gateways[1].topic", "names two levels {line}"),
    "hash inside": ("/{machine}/data", "/#/data", 7, "gateways[1].topic", "whole last level"),
    "patterns overlap": (
        "works/gw-1/readings", "works/L1/+/data", 7, "gateways[1].topic", "'works/L1/+/data' on line 5 fit the same"
    ),
    "topic twice": ("name: vib,", "name: vib, topic: works/gw-1/readings,", 19, "sensors[0].topic", "line 5 has it"),
    "sparkplug topic": ("sparkplug_b", "sparkplug_b, topic: works/#", 13, "[2].topic", "spBv1.0/<group>/#"),
    "sparkplug state topic": ("sparkplug_b", "sparkplug_b, topic: spBv1.0/STATE/#", 13, "[2].topic", "no topic of"),
    "sparkplug heard twice": (
        "name: works\n", "name: works\n    subscribe: ['#']\n", 4, "subscribe[0]", "'edge' on line 14"
    ),
    "pattern unheard": (
        "name: works\n", "name: works\n    subscribe: ['works/gw-1/#', 'works/+/m/data']\n", 8, "[1].topic", "never be"
    ),
    "field unknown": ("ts: time", "tss: time", 8, "fields.tss", "expected one of ts, value, sensor"),
    "field not text": ("ts: time", "ts: 5", 8, "fields.ts", "in quotes"),
    "field empty": ("ts: time", "ts: ''", 8, "fields.ts", "the name of the field with the time"),
    "fields collide": ("ts: time", "ts: val", 8, "fields.value", "both ts and value"),
    "field collides with ours": ("ts: time", "ts: quality", 8, "fields", "both ts and quality"),
    "fields of another format": ("sparkplug_b", "sparkplug_b, fields: {ts: t}", 13, "[2].fields", "only format json"),
    "name of no sensor": ("P-1.vib}", "P-1.vibr}", 5, "names.V1", "did you mean 'P-1.vib'"),
    "name of a score": ("P-1.vib}", "P-1.vib.score}", 5, "names.V1", "computed here"),
    "name not text": ("P-1.vib}", "5}", 5, "names.V1", "in quotes"),
    "asset level": ('"{line}-{machine}"', '"{lin}-{machine}"', 9, "[1].asset", "did you mean 'line'"),
    "asset level of the name": ('"{line}-{machine}"', '"{name}"', 9, "[1].asset", "expected one of line, machine"),
    "asset no name": ('"{line}-{machine}"', '"{line} {machine}"', 9, "[1].asset", "e.g. {line}-{machine}"),
    "asset not there": ("names: {V1: P-1.vib}", "asset: P-2", 5, "[0].asset", "did you mean 'P-1'"),
    "sparkplug asset level": ("sparkplug_b", "sparkplug_b, asset: '{edge}'", 13, "[2].asset", "group, node, device"),
    "unknown": ("unknown: provision", "unknown: provisio", 10, "[1].unknown", "did you mean 'provision'"),
    "rules for nothing": ("unknown: provision", "unknown: reject", 11, "[1].provision", "nothing is made"),
    "nothing to make": ("names: {V1: P-1.vib}", "unknown: provision", 5, "[0].unknown", "no rule says"),
    "rule without match": ("match: '*.temp', ", "", 12, "provision[0].match", "missing"),
    "rule without area": ("area: hall, ", "", 12, "provision[0].area", "missing"),
    "rule unit": ("unit: degC}", "unit: degQ}", 12, "provision[0].unit", "no unit pint knows"),
    "rule key": ("class: pump", "clas: pump", 12, "provision[0].clas", "did you mean 'class'"),
    "rule not a mapping": (RULE, "x", 12, "provision[0]", "a mapping with the keys match, area"),
    "range of three": ("[-40, 392 degF]", "[1, 2, 3]", 20, "sensors[1].range", "is no range"),
    "range without ends": ("[-40, 392 degF]", "[null, null]", 20, "sensors[1].range", "is no range"),
    "range of text": ("[-40, 392 degF]", "[low, high]", 20, "sensors[1].range", "no number"),
    "range upside down": ("[-40, 392 degF]", "[-40, -80 degF]", 20, "sensors[1].range", "not below the high end"),
    "range unit": ("[-40, 392 degF]", "[-40, 3 bar]", 20, "sensors[1].range", "convert"),
    "spike of nothing": ("spike: 9 degF", "spike: 0", 20, "sensors[1].spike", "above 0"),
    "spike unit": ("spike: 9 degF", "spike: 9 bar", 20, "sensors[1].spike", "convert"),
    "flat line of nothing": ("flat_line: 10 min", "flat_line: 0", 20, "sensors[1].flat_line", "above 0"),
    "flat line too short": ("flat_line: 10 min", "flat_line: 1", 20, "sensors[1].flat_line", "more than rate, 1 s"),
    "rate": ("rate: 1 s", "rate: 1 parsec", 20, "sensors[1].rate", "no duration"),
    "range of a state": ("kind: state, ", "kind: state, range: [0, 1], ", 21, "sensors[2].range", "leave it out"),
}  # fmt: skip


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(PlantFileError) as caught:
        read_plant_text(text, file="plant.yaml")
    return [(problem.line, problem.where, problem.message) for problem in caught.value.problems]


@pytest.mark.parametrize("case", CASES)
def test_refusal_names_line_place_and_expectation_and_is_the_only_one(case: str) -> None:
    old, new, line, where, words = CASES[case]
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert len(found) == 1
    assert found[0][0] == line
    assert where in found[0][1]
    assert words in found[0][2]


def test_gateways_mean_what_is_written() -> None:
    assert read_plant_text(GOOD, file="plant.yaml").gateways == (
        Gateway(name="gw-1", topic="works/gw-1/readings", site="works", names={"V1": "P-1.vib"}),
        Gateway(
            name="old",
            topic="works/{line}/{machine}/data",
            site="works",
            fields={"ts": "time", "value": "val"},
            asset="{line}-{machine}",
            unknown=UnknownNames.PROVISION,
            provision=(
                ProvisionRule(match="*.temp", area="hall", asset_class="pump", quantity="temperature", unit="degC"),
            ),
        ),
        Gateway(
            name="edge",
            topic="spBv1.0/{group}/#",
            site="works",
            format=PayloadFormat.SPARKPLUG_B,
            unknown=UnknownNames.PROVISION,
        ),
    )


def test_checks_are_kept_in_the_unit_of_the_sensor() -> None:
    checks = {sensor.name: sensor.checks for sensor in read_plant_text(GOOD, file="plant.yaml").sensors}
    assert checks["P-1.temp"] == DoorChecks(low=-40, high=200, flat_line_s=600, spike=5, rate_s=1)
    assert checks["P-1.state"] == DoorChecks(rate_s=5)
    assert not checks["P-1.vib"]


def test_one_end_of_a_range_may_be_open() -> None:
    plant = read_plant_text(GOOD.replace("[-40, 392 degF]", "[0, null]"), file="plant.yaml")
    assert plant.sensors[2].checks.low == 0
    assert plant.sensors[2].checks.high is None


def test_only_what_differs_from_the_defaults_is_stored() -> None:
    gateways = rows(read_plant_text(GOOD, file="plant.yaml"))["gateway"]
    assert gateways["gw-1"]["options"] == {"names": {"V1": "P-1.vib"}}
    assert gateways["edge"]["options"] == {"format": "sparkplug_b", "unknown": "provision"}
    assert rows(read_plant_text(GOOD, file="plant.yaml"))["sensor"]["P-1.vib"]["checks"] == {}


def test_a_site_listens_to_its_own_name_and_to_its_gateways_elsewhere_but_not_to_sparkplug() -> None:
    text = GOOD.replace("topic: works/{line}", "topic: factory/{line}")
    assert read_plant_text(text, file="plant.yaml").sites[0].subscribe == ("works/#", "factory/+/+/data")


def test_an_exact_topic_may_lie_under_a_pattern() -> None:
    text = GOOD.replace("name: vib,", "name: vib, topic: works/L1/P-1/data,")
    assert read_plant_text(text, file="plant.yaml").sensors[0].topic == "works/L1/P-1/data"


def test_sparkplug_groups_each_have_a_gateway_and_may_not_overlap() -> None:
    one = "{name: edge, format: sparkplug_b, topic: spBv1.0/one/#}"
    two = "{name: more, format: sparkplug_b, topic: spBv1.0/two/#}"
    text = GOOD.replace("{name: edge, format: sparkplug_b}", f"{one}\n      - {two}")
    assert len(read_plant_text(text, file="plant.yaml").gateways) == 4
    assert "fit the same topics" in problems(text.replace("spBv1.0/two/#", "'spBv1.0/{group}/#'"))[0][2]


def test_a_fixed_asset_that_will_be_made_need_not_be_in_the_file() -> None:
    text = GOOD.replace('"{line}-{machine}"', "P-77")
    assert read_plant_text(text, file="plant.yaml").gateways[1].asset == "P-77"


LEVELS = ("a", "b", "{x}", "+", "#")
TOPICS = ["/".join(levels) for length in (1, 2, 3, 4) for levels in product("abc", repeat=length)]
filters = (
    st.lists(st.sampled_from(LEVELS), min_size=1, max_size=3)
    .map("/".join)
    .filter(lambda text: filter_fault(topic_filter(text)) is None and text.count("{x}") < 2)
)


@given(filters, filters)
def test_two_patterns_overlap_where_one_topic_fits_both(one: str, other: str) -> None:
    both = [topic for topic in TOPICS if covers(topic_filter(one), topic) and covers(topic_filter(other), topic)]
    assert overlap(topic_filter(one), topic_filter(other)) == bool(both)


@example("+/#", "#")
@given(filters, filters)
def test_a_filter_covers_a_pattern_when_it_covers_every_topic_of_it(text: str, pattern: str) -> None:
    fitting = [topic for topic in TOPICS if covers(topic_filter(pattern), topic)]
    assert covers(topic_filter(text), topic_filter(pattern)) == all(
        covers(topic_filter(text), topic) for topic in fitting
    )


@given(filters)
def test_the_engine_routes_to_a_gateway_what_the_file_says_is_its(pattern: str) -> None:
    route = topic_pattern(pattern)
    assert all(bool(route.fullmatch(topic)) == covers(topic_filter(pattern), topic) for topic in TOPICS)
