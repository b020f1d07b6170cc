"""Files of rules alone: what they mean in a plant that is described elsewhere, and what is refused."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from precursor.plantfile import PlantFileError, read_plant_file, read_plant_text
from precursor.plantfile.definition import PlantDefinition
from precursor.plantfile.reader import parse_plant_text

SITES = """\
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: L-1
            class: line
            sensors: [{name: state, kind: state}, {name: power, unit: kW}]
            assets:
              - name: P-1
                class: pump
                sensors:
                  - {name: vib_de, unit: mm/s, detector: ewma}
                  - {name: vib_nde, unit: in/s}
                  - {name: temp_de, unit: degC, range: [-40 degC, 392 degF]}
                  - {name: temp_nde, unit: degC}
              - name: P-2
                class: pump
                sensors: [{name: vib_de, unit: mm/s}, {name: temp_de, unit: degC}]
"""


def plant(text: str = SITES) -> PlantDefinition:
    """As it would come from elsewhere."""
    return read_plant_text("version: 1\n" + text, file="plant.yaml")


def rules_on(text: str, of: PlantDefinition | None = None) -> PlantDefinition:
    return parse_plant_text(text, file="rules.yaml").rules_on(plant() if of is None else of)


BODY = """\
schedules:
  - {name: shift, timezone: Europe/Berlin, spans: [{days: mon-fri, from: "06:00", to: "22:00"}]}
job_plans:
  - {name: look, due_within: 7 d}
sensor_quality: {for: 5 min}
templates:
  - class: pump
    rules:
      - {name: hot, sensors: [temp_de], high: 194 degF, schedule: shift, while: running, priority: low}
      - {name: zones, kind: iso_20816, sensors: ["vib_*"], priority: medium, failure_mode: wear, job_plan: look}
rules:
  - {name: unusual, sensors: ["*.score"], high: 5, suppressed_by: [silent], priority: low}
  - {name: skew, kind: deviation, sensors: [P-1.temp_de], reference: temp_nde, high: 9 degF, priority: low}
  - {name: rising, kind: rate, sensors: ["*.temp_de"], window: 10 min, high: 2 degF/min, priority: low}
  - {name: broken, kind: out_of_range, sensors: ["*.temp_*"], priority: low}
  - {name: silent, kind: no_data, assets: ["*"], for: 10 min, suppresses_children: true, priority: low}
  - {name: service, kind: usage, sensors: [L-1.state], every: 500 h, priority: low}
  - {name: gap, kind: expression, assets: ["P-*"], expression: temp_de - temp_nde > 15.0, priority: low}
"""
DIFFERENT = {
    "P-1": "machine: {group: 2, foundation: rigid}",
    "P-2": "machine: {group: 1, foundation: flexible}, rules: {hot: {high: 80}, rising: {off: true}}",
}


def test_rules_cut_out_of_a_plant_file_are_the_same_rules() -> None:
    sites = SITES
    for name, said in DIFFERENT.items():
        sites = sites.replace(f"- name: {name}\n", f"- name: {name}\n                <<: {{{said}}}\n")
    assets = "".join(f"  - {{name: {name}, {said}}}\n" for name, said in DIFFERENT.items())

    whole = read_plant_text("version: 1\n" + sites + BODY, file="plant.yaml")
    alone = rules_on("version: 1\n" + BODY + "assets:\n" + assets)

    assert len({rule.name for rule in whole.rules}) == 10
    assert alone.rules == whole.rules
    assert alone == replace(plant(), rules=whole.rules, job_plans=whole.job_plans)


FAULTS = {
    "sensor": ("{name: a, sensors: [P-1.tmp_de], high: 5, priority: low}", "did you mean 'P-1.temp_de'"),
    "pattern": ("{name: a, sensors: ['Q-*'], high: 5, priority: low}", "the pattern matches no sensor"),
    "asset": ("{name: a, kind: no_data, assets: [P-11], for: 60, priority: low}", "did you mean 'P-1'"),
    "unit": ("{name: a, sensors: [P-1.temp_de], high: 7 bar, priority: low}", "a unit that converts to 'degC'"),
    "units": ("{name: a, sensors: ['P-1.*_de'], high: 7, priority: low}", "narrower patterns"),
    "velocity": ("{name: a, kind: iso_20816, sensors: [P-1.temp_de], priority: low}", "judges RMS velocity"),
    "machine": ("{name: a, kind: iso_20816, sensors: [P-1.vib_de], priority: low}", "missing for P-1; expected group"),
    "range": ("{name: a, kind: out_of_range, sensors: [P-2.temp_de], priority: low}", "P-2.temp_de has no range"),
    "reference": ("{name: a, kind: deviation, sensors: [P-2.temp_de], reference: x, high: 1, priority: low}", "'x' is"),
    "point": ("{name: a, kind: expression, assets: [P-2], expression: temp_de > flow, priority: low}", "'flow'"),
    "schedule": ("{name: a, sensors: [P-1.temp_de], high: 5, schedule: x, priority: low}", "no schedule 'x'"),
    "plan": ("{name: a, sensors: [P-1.temp_de], high: 5, failure_mode: f, job_plan: x, priority: low}", "no job plan"),
    "key": ("{name: a, sensors: [P-1.temp_de], hihg: 5, high: 5, priority: low}", "did you mean 'high'"),
    "twice": ("{name: fine, sensors: [P-1.temp_de], high: 5, priority: low}", "is taken"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_told_as_in_a_plant_file(case: str) -> None:
    rule, words = FAULTS[case]
    rules = f"rules:\n  - {{name: fine, sensors: [P-2.vib_de], high: 5, priority: low}}\n  - {rule}\n"

    with pytest.raises(PlantFileError) as whole:
        read_plant_text("version: 1\n" + rules + SITES, file="rules.yaml")
    with pytest.raises(PlantFileError) as alone:
        rules_on("version: 1\n" + rules)

    assert alone.value.problems == whole.value.problems
    (problem,) = alone.value.problems
    assert problem.line == 4
    assert problem.where.startswith("rules[1]")
    assert words in problem.message


GOOD = """\
version: 1
rules:
  - {name: hot, sensors: ["*.temp_de"], high: 90, priority: low}
  - {name: zones, kind: iso_20816, sensors: [P-1.vib_de], group: 2, foundation: rigid, priority: low}
assets:
  - {name: P-1, rules: {hot: {high: 80}}}
"""
REFUSALS = {
    "no version": ("version: 1\n", "", 1, "version", "missing; expected 1"),
    "asset": ("{name: P-1, rules", "{name: P1, rules", 6, "assets[0].name", "no asset 'P1'"),
    "closest asset": ("{name: P-1, rules", "{name: P-11, rules", 6, "assets[0].name", "did you mean 'P-1'"),
    "asset without a name": ("{name: P-1, rules", "{rules", 6, "assets[0].name", "missing; expected the tag"),
    "asset twice": ("assets:\n", "assets:\n  - name: P-1\n", 7, "assets[1].name", "line 6 has it"),
    "sensors of an asset": ("{name: P-1, rules", "{name: P-1, sensors: [], rules", 6, "[0].sensors", "name, mach"),
    "foundation": (
        "{name: P-1, rules", "{name: P-1, machine: {foundation: soft}, rules", 6, "machine.foundation", "rigid or"
    ),
    "rule": ("{hot: {high", "{hott: {high", 6, "assets[0].rules.hott", "did you mean 'hot'"),
    "limit of a rule": ("{high: 80}", "{high: 80 bar}", 6, "assets[0].rules.hot.high", "converts to 'degC'"),
    "key of a rule": ("{high: 80}", "{hig: 80}", 6, "assets[0].rules.hot.hig", "did you mean 'high'"),
    "nothing watched": ("{name: P-1, rules", "{name: L-1, rules", 6, "assets[0].rules.hot", "watches nothing of L-1"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_a_file_says_of_known_assets_is_refused_with_line_and_place(case: str) -> None:
    old, new, line, where, words = REFUSALS[case]
    rules_on(GOOD)
    assert old in GOOD

    with pytest.raises(PlantFileError) as refusal:
        rules_on(GOOD.replace(old, new))

    (problem,) = refusal.value.problems
    assert problem.line == line
    assert problem.where.endswith(where)
    assert words in problem.message


def test_job_plans_of_the_plant_count_and_those_of_the_file_come_first() -> None:
    of = plant(SITES + "job_plans: [{name: look, title: old, due_within: 7 d}, {name: mend, due_within: 7 d}]\n")
    rule = "{name: hot, sensors: [P-1.temp_de], high: 90, priority: low, failure_mode: heat, job_plan: mend}"

    found = rules_on(f"version: 1\njob_plans: [{{name: look, title: new, due_within: 1 d}}]\nrules: [{rule}]\n", of)

    assert [(plan.name, plan.title) for plan in found.job_plans] == [("look", "new"), ("mend", "")]
    assert found.rules[0].job_plan == "mend"


def test_rules_of_the_plant_itself_are_replaced() -> None:
    of = plant(SITES + "rules: [{name: hot, sensors: [P-1.temp_de], high: 90, priority: low}]\n")

    found = rules_on("version: 1\nrules: [{name: cold, sensors: [P-1.temp_de], low: 5, priority: low}]\n", of)

    assert [rule.name for rule in found.rules] == ["cold", "sensor-quality"]


@pytest.mark.parametrize(
    ("text", "alone"),
    [
        ("version: 1\nrules: []\n", True),
        ("version: 1\nsites: []\n", False),
        ("- rules\n", False),
    ],
    ids=["without sites", "with sites", "a list"],
)
def test_a_file_without_sites_has_rules_alone(text: str, alone: bool) -> None:
    assert parse_plant_text(text, file="x.yaml").has_rules_alone is alone


def test_a_file_of_rules_alone_is_no_plant_file() -> None:
    with pytest.raises(PlantFileError, match=r"rules\.yaml:1: sites: missing; expected a list of at least one site"):
        read_plant_text(GOOD.partition("assets:")[0], file="rules.yaml")


def test_the_documented_file_is_good_for_the_example_plant() -> None:
    root = Path(__file__).parents[2]
    (text,) = re.findall(r"```yaml\n(.*?)```", (root / "docs" / "backtest.md").read_text(), re.DOTALL)

    found = parse_plant_text(text, file="rules.yaml").rules_on(read_plant_file(root / "examples" / "plant.yaml"))

    highs = {f"{rule.name} on {rule.subject}": rule.high for rule in found.rules if rule.kind != "quality"}
    assert highs["bearing-hot on P-101.temp_de"] == 84
    assert highs["bearing-hot on P-102.temp_de"] == 78
    assert highs["vibration-zones on P-101.vib_de"] == 2.8
    assert highs["vibration-zones on P-102.vib_de"] == 4.5
