"""Every refusal of a plant file names the line, the place and what was expected."""

from pathlib import Path

import pytest

from precursor.plantfile import PlantFileError, read_plant_file, read_plant_text

GOOD = """\
version: 1
sites:
  - name: works
    subscribe: ["works/#"]
    areas:
      - name: hall
        assets:
          - name: P-1
            sensors:
              - {name: vib, quantity: vibration velocity, unit: mm/s, topic: works/P-1/vib, detector: ewma}
              - {name: temp, quantity: temperature, unit: degC, topic: works/P-1/temp}
              - {name: state, kind: state, topic: works/P-1/state}
rules:
  - {name: hot, sensors: [P-1.temp], high: 90, priority: high, failure_mode: heat, job_plan: cool}
job_plans:
  - {name: cool, due_within: 7 d}
"""
VIB = "unit: mm/s, topic: works/P-1/vib, detector: ewma"
RULE = "high: 90, priority: high, failure_mode: heat, job_plan: cool"

CASES = {
    "unknown unit": ("unit: mm/s", "unit: mm/sec2x", 10, "sensors[0].unit", "no unit pint knows; expected e.g. mm/s"),
    "power without a sign": ("unit: mm/s", "unit: m3/h", 10, "sensors[0].unit", "did you mean 'm^3/h'"),
    "gram": ("vibration velocity, unit: mm/s", "acceleration, unit: g", 10, "sensors[0].unit", "g_0"),
    "unit is arithmetic": ("unit: mm/s", "unit: 9**9**9**9", 10, "sensors[0].unit", "no unit pint knows"),
    "unit missing": ("unit: mm/s, ", "", 10, "sensors[0].unit", "missing; expected e.g. mm/s"),
    "sent in another dimension": ("unit: mm/s", "unit: mm/s, sent_in: bar", 10, "sensors[0].sent_in", "convert"),
    "sent in a logarithm": ("unit: mm/s", "unit: W, sent_in: dBm", 10, "sensors[0].sent_in", "straight line"),
    "unknown key": ("unit: mm/s", "unit: mm/s, titel: x", 10, "sensors[0].titel", "did you mean 'title'"),
    "number as text": ("name: P-1", "name: 101", 8, "assets[0].name", "put it in quotes"),
    "name with a space": ("name: P-1", "name: P 1", 8, "assets[0].name", "1 to 64 letters"),
    "criticality": ("name: P-1", "name: P-1\n            criticality: 9", 9, "criticality", "9; expected a whole"),
    "detector": ("detector: ewma", "detector: ewmaa", 10, "sensors[0].detector", "ewma"),
    "detector parameter": ("detector: ewma", "detector: {kind: ewma, wrm: 3}", 10, "detector", "warmup"),
    "detector parameter text": ("detector: ewma", "detector: {kind: ewma, warmup: x}", 10, "warmup", "a number"),
    "topic wildcard": ("works/P-1/temp}", "works/+/temp}", 11, "sensors[1].topic", "wildcard"),
    "topic empty level": ("works/P-1/temp}", "works//temp}", 11, "sensors[1].topic", "empty level"),
    "topic dollar": ("works/P-1/temp}", "$SYS/temp}", 11, "sensors[1].topic", "'$'"),
    "topic twice": ("works/P-1/temp}", "works/P-1/vib}", 11, "sensors[1].topic", "line 10 has it"),
    "topic unheard": ("works/P-1/temp}", "other/temp}", 11, "sensors[1].topic", "never be heard"),
    "no topic, no gateway": (", topic: works/P-1/temp", "", 11, "sensors[1]", "nothing sends it"),
    "filter": ('"works/#"', '"works/#/x"', 4, "subscribe[0]", "whole last level"),
    "filter plus": ('"works/#"', '"works/#", "w+/x"', 4, "subscribe[1]", "whole level"),
    "gateway unheard": (
        "    areas:", "    gateways: [{name: g, topic: a/b}]\n    areas:", 5, "gateways[0].topic", "never be heard"
    ),
    "sensor twice": ("name: temp,", "name: vib,", 11, "sensors[1].name", "line 10 has it"),
    "kind": ("kind: state", "kind: stat", 12, "sensors[2].kind", "did you mean 'state'"),
    "state with unit": ("kind: state", "kind: state, unit: mm/s", 12, "sensors[2].unit", "leave it out"),
    "states unknown": ("kind: state", "kind: state, states: {on: runing}", 12, "states.on", "did you mean 'running'"),
    "states of a measured sensor": ("unit: degC", "unit: degC, states: {a: failed}", 11, "states", "kind: state"),
    "codes of a state sensor": ("kind: state", "kind: state, codes: {on: 1}", 12, "sensors[2].codes", "leave it out"),
    "code that is no number": ("unit: degC", "unit: degC, codes: {open: x}", 11, "codes.open", "{open: 1, closed: 0}"),
    "code that is not finite": ("unit: degC", "unit: degC, codes: {open: .nan}", 11, "codes.open", "open: 1"),
    "rule on unknown sensor": ("[P-1.temp]", "[P-1.tmp]", 14, "rules[0].sensors[0]", "did you mean 'P-1.temp'"),
    "pattern without match": ("[P-1.temp]", "['Q*']", 14, "rules[0].sensors[0]", "matches no sensor"),
    "bare number over two units": ("[P-1.temp]", "['P-1.*']", 14, "rules[0].high", "expected a unit"),
    "limit unit": ("high: 90", "high: 90 bar", 14, "rules[0].high", "convert"),
    "limit text": ("high: 90", "high: hot!", 14, "rules[0].high", "a number"),
    "high below low": ("high: 90", "high: 90, low: 95", 14, "rules[0].high", "not above low 95"),
    "deadband too wide": ("high: 90", "high: 90, low: 85, deadband: 5", 14, "rules[0].deadband", "less than 5"),
    "deadband negative": ("high: 90", "high: 90, deadband: -1", 14, "rules[0].deadband", "0 or more"),
    "no limit": ("high: 90, ", "", 14, "rules[0]", "expected high, low or both"),
    "delay negative": ("high: 90", "high: 90, on_delay: -5 s", 14, "rules[0].on_delay", "negative"),
    "delay unit": ("high: 90", "high: 90, on_delay: 5 parsec", 14, "rules[0].on_delay", "no duration"),
    "priority": ("priority: high", "priority: hgih", 14, "rules[0].priority", "did you mean 'high'"),
    "plan unknown": ("job_plan: cool", "job_plan: col", 14, "rules[0].job_plan", "did you mean 'cool'"),
    "plan without mode": ("failure_mode: heat, ", "", 14, "rules[0].job_plan", "without a failure_mode"),
    "plan without due date": (", due_within: 7 d", "", 16, "job_plans[0].due_within", "missing"),
    "due at once": ("due_within: 7 d", "due_within: 0", 16, "job_plans[0].due_within", "above 0"),
    "version": ("version: 1", "version: 2", 1, "version", "expected 1"),
    "NUL": ("name: P-1", 'name: P-1\n            title: "a\\0b"', 9, "title", "NUL can't be stored"),
    "key twice": ("unit: mm/s", "unit: mm/s, unit: m/s", 10, "sensors[0]", "stands twice"),
    "list for mapping": ("- name: hall", "- [hall]\n      - name: hall", 6, "areas[0]", "a list; expected a mapping"),
}  # fmt: skip


def problems(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(PlantFileError) as caught:
        read_plant_text(text, file="plant.yaml")
    return [(problem.line, problem.where, problem.message) for problem in caught.value.problems]


def test_the_file_the_cases_start_from_is_good() -> None:
    assert len(read_plant_text(GOOD, file="plant.yaml").sensors) == 4


@pytest.mark.parametrize("case", CASES)
def test_refusal_names_line_place_and_expectation(case: str) -> None:
    old, new, line, where, words = CASES[case]
    assert old in GOOD
    found = problems(GOOD.replace(old, new, 1))
    assert found[0][0] == line
    assert where in found[0][1]
    assert words in found[0][2]


@pytest.mark.parametrize("case", CASES)
def test_one_mistake_gives_one_message(case: str) -> None:
    old, new, *_ = CASES[case]
    assert len(problems(GOOD.replace(old, new, 1))) == 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "the file is empty"),
        ("# only a comment\n", 1, "the file is empty"),
        ("a: 1\n\tb: 2\n", 2, "not tabs"),
        ("a: [1,\nb", 3, "not YAML"),
        ("- a\n- b\n", 1, "expected a mapping"),
        ("just text", 1, "expected a mapping"),
        ("a: &x [*x]", 1, "contains itself"),
        ("version: 1", 1, "missing; expected a list of at least one site"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("a: \x01", 1, "not YAML"),
    ],
)
def test_what_is_no_plant_file_at_all_says_so(text: str, line: int, words: str) -> None:
    found = problems(text)
    assert any(at == line and words in message for at, _, message in found), found


def test_all_mistakes_are_reported_at_once_and_in_order_of_lines() -> None:
    text = GOOD
    for old, new in (("mm/s", "mm/q"), ("degC", "degQ"), ("priority: high", "priority: x"), ("7 d", "7 x")):
        text = text.replace(old, new, 1)
    assert [line for line, _, _ in problems(text)] == [10, 11, 14, 16]


def test_a_fault_in_the_name_of_a_sensor_does_not_hide_its_wrong_unit() -> None:
    text = GOOD.replace("name: temp, quantity: temperature, unit: degC", "name: t p, quantity: x, unit: degQ")
    assert [where.rsplit(".")[-1] for _, where, _ in problems(text)] == ["name", "unit"]


def test_every_line_of_the_message_begins_with_file_and_line() -> None:
    with pytest.raises(
        PlantFileError, match=r"^plant\.yaml:10: sites\[0\]\.areas\[0\]\.assets\[0\]\.sensors\[0\]\.unit: "
    ):
        read_plant_text(GOOD.replace("mm/s", "mm/sec2x"), file="plant.yaml")


def test_a_file_that_is_not_there_is_a_plant_file_error(tmp_path: Path) -> None:
    with pytest.raises(PlantFileError, match="can't be read"):
        read_plant_file(tmp_path / "none.yaml")


def test_bytes_that_are_not_utf8_name_their_line(tmp_path: Path) -> None:
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"version: 1\nsites: \xe4\n")
    with pytest.raises(PlantFileError, match=r"latin\.yaml:2: byte 0xe4 is not UTF-8"):
        read_plant_file(file)
