"""Single values are read, or refused by name."""

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.server.arcgis import values


@pytest.mark.parametrize(
    "text",
    ["{a: 1}", "{'a': 1}", '{"a": NaN}', "[Infinity]", "1e999", "{", "[" * 100_000, '"\\ud800"'],
)
def test_what_is_no_json_is_refused(text):
    with pytest.raises(OptionError, match="context is no JSON"):
        values.json_of("context", text)


def test_an_error_repeats_a_little_of_what_was_given():
    with pytest.raises(OptionError, match=r"context is '\[1, 1") as caught:
        values.object_of("context", [1] * 10_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("given", ["0.5", 0.5, " .5 ", "5e-1"])
def test_numbers_come_as_such_or_as_text(given):
    assert values.number_of("ratio", given, least=0, most=1) == 0.5


@pytest.mark.parametrize("given", ["nan", "inf", "1.5", -1, None, "", [], True, "9" * 400])
def test_other_numbers_are_refused_with_the_bounds(given):
    with pytest.raises(OptionError, match=r"ratio is .*; write a number from 0 to 1"):
        values.number_of("ratio", given, least=0, most=1)


def test_a_whole_number_is_whole():
    assert values.whole_of("size", "4") == 4
    with pytest.raises(OptionError, match=r"size is '4.5'; write a whole number"):
        values.whole_of("size", "4.5")


@pytest.mark.parametrize(
    ("given", "value"), [("True", True), ("t", True), ("0", False), (False, False)]
)
def test_truths(given, value):
    assert values.truth_of("flag", given) is value


def test_what_is_neither_true_nor_false_is_refused():
    with pytest.raises(OptionError, match="flag is 'maybe'; write true or false"):
        values.truth_of("flag", "maybe")


def test_a_choice_is_found_in_any_case_and_refused_with_the_possible_ones():
    assert values.choice_of("format", "png", ("TIFF", "PNG")) == "PNG"
    with pytest.raises(OptionError, match="format is 'gif'; possible are TIFF, PNG"):
        values.choice_of("format", "gif", ("TIFF", "PNG"))
