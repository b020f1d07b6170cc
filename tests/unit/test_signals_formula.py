"""Expressions: what is allowed, what they come to, and what a person reads when one is wrong."""

import math
from contextlib import suppress

import pytest

from rules.signals.formula import MAX_LENGTH, Formula, check_expression, with_doubles
from telemetry.errors import ConfigurationError


@pytest.mark.parametrize(
    ("written", "understood"),
    [
        ("temp - 15 > speed * 2", "temp - 15.0 > speed * 2.0"),
        ("-5+x1-temp_2", "-5.0+x1-temp_2"),
        ("1.5e3 + .5 + 2e1 + 1E-2", "1.5e3 + .5 + 2e1 + 1E-2"),
        ("0x10 + 007", "16.0 + 7.0"),
        ("3u + 0x1Fu", "3u + 0x1Fu"),
        ("temp in [1, 20]", "temp in [1.0, 20.0]"),
        ("[a, b][1] + 1", "[a, b][1] + 1.0"),
        ("[a, b][(0)][int(c) + 1]", "[a, b][(0)][int(c) + 1]"),
        ("{1: 2}[1] > 3", "{1: 2}[1] > 3.0"),
        ("int(a) % 2 == 0", "int(a) % 2 == 0.0"),
        ("""a == '15' || b == "a 15" """, """a == '15' || b == "a 15" """),
        (r"a == 'it\'s 15' && 15 > b", r"a == 'it\'s 15' && 15.0 > b"),
        (r"a == r'\' && 15 > b", r"a == r'\' && 15.0 > b"),
        ("a == '''it's\n15''' && 1 > b", "a == '''it's\n15''' && 1.0 > b"),
        ("b'15' == a && 1 > b", "b'15' == a && 1.0 > b"),
        ("a > 1 // 15 of them\n && b > 2", "a > 1.0 // 15 of them\n && b > 2.0"),
        ("f(2)[3] > 4 ? 5 : 6", "f(2.0)[3] > 4.0 ? 5.0 : 6.0"),
        ("a > 'never closed 15", "a > 'never closed 15.0"),
        ("", ""),
    ],
)
def test_whole_numbers_become_doubles_but_not_in_strings_indices_and_comments(written: str, understood: str) -> None:
    assert with_doubles(written) == understood
    assert with_doubles(understood) == understood


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("temp - 15 > speed * 2", False),
        ("temp + 1 > speed * 2 && !(speed == 4)", True),
        ("1 / 2 * temp", 10.0),
        ("temp > 15 ? 1 : 0", 1.0),
        ("abs(speed - temp)", 17.0),
        ("min(temp, speed) + max(temp, speed, 30)", 33.0),
        ("temp in [1, 20]", True),
        ("int(temp) % 3 == 2", True),
        ("[temp, speed][1]", 3.0),
        ("temp / 0", math.inf),
    ],
)
def test_formulas_come_to(text: str, result: bool | float) -> None:
    found = Formula(text).result({"temp": 20.0, "speed": 3.0})
    assert found == result
    assert type(found) is type(result)


@pytest.mark.parametrize(
    ("text", "is_condition"),
    [
        ("temp > 15", True),
        ("temp > 15 && speed < 3 || !(speed == 0)", True),
        ("temp - speed", False),
        ("max(temp, speed) * 2", False),
        ("temp > speed ? temp : 0", False),
        ("temp / (speed - speed) > 1", True),
        ("int(temp) % 2 == 0", True),
    ],
)
def test_whether_it_is_a_condition_is_found_out(text: str, is_condition: bool) -> None:
    assert check_expression(text, ["temp", "speed"]) is is_condition


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tmp > 15", "the name 'tmp', which no input has; did you mean 'temp'?"),
        ("humidity > 15", "the name 'humidity', which no input has; the inputs are speed, temp"),
        ("temp > 1e9 && tmep > 3", "did you mean 'temp'?"),
        ("temp >", "cannot be read from character 7 on: mismatched input its end"),
        ("temp > 1 &&\n speed >> 2", "from character 9 of line 2 on"),
        ("temp > 1 and speed > 2", "and is &&"),
        ("", "cannot be read"),
        ("temp.reading > 1", "cannot be worked out"),
        ("temp + 'a'", "cannot be worked out: Unsupported operation: float + string"),
        ("temp > 1e5 ? temp % 2 : 1", "Unsupported operation: float % int"),
        ("temp && true", "cannot be worked out"),
        ("temp > 5 ? 'hot' : 'cold'", "comes to a str; it must be true or false, or a number"),
        ("[temp]", "comes to a list"),
        ("temp > 5 ? temp : false", "true or false in some cases and a number in others"),
        ("abz(temp) > 1", "calls 'abz', which is none of abs, min, max, double, int, size; did you mean 'abs'?"),
        ("temp > 1e9 && system(temp) > 1", "calls 'system'"),
        ("string(temp) == '1'", "calls 'string'"),
        ("1 > 2", "none of its inputs in it"),
        ("[temp, speed].exists(temp, temp > 1)", "loops with 'exists'"),
        ("[temp] . map (speed, speed)", "loops with 'map'"),
        ("__import__('os') == 1", "calls '__import__'"),
    ],
)
def test_what_is_wrong_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        check_expression(text, ["temp", "speed"])
    assert said in str(error.value)
    assert len(str(error.value)) < 300


def test_the_length_is_bounded() -> None:
    text = "temp > 1" + " " * (MAX_LENGTH - 8)
    assert check_expression(text, ["temp"])
    with pytest.raises(ConfigurationError, match="1001 characters"):
        check_expression(text + " ", ["temp"])


@pytest.mark.parametrize("name", ["bearing-1", "1st", "", "in", "true", "max", "größe"])
def test_names_that_cannot_stand_in_an_expression_are_told(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot stand for a sensor"):
        check_expression("temp > 1", ["temp", name])


@pytest.mark.parametrize(
    "text",
    [
        "(" * 499 + "t" + ")" * 499,
        "-" * 999 + "t",
        "!" * 990 + "(t > 1)",
        "[" * 499 + "t" + "]" * 499,
        "t?" * 240 + "1" + ":1" * 240,
        "[t,t,t,t,t,t,t,t,t,t].map(t," * 20 + "t" + ")" * 20,
    ],
    ids=["brackets", "signs", "nots", "lists", "choices", "loops"],
)
def test_hostile_texts_end_and_hurt_nobody(text: str) -> None:
    with suppress(ConfigurationError):
        check_expression(text, ["t"])
    assert check_expression("t > 1", ["t"])
