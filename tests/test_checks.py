import math

import numpy as np
import pytest

from geodl_lab.checks import is_above_0, is_list, is_number, is_whole, number_of


@pytest.mark.parametrize("value", [3, -1, 10**400, np.int8(3)])
def test_whole_numbers(value):
    assert is_whole(value) and is_number(value)


@pytest.mark.parametrize("value", [1.5, 2.0, np.float32(1.5)])
def test_numbers_that_are_not_whole(value):
    assert is_number(value) and not is_whole(value)


@pytest.mark.parametrize("value", [True, np.True_, "1", None, math.nan, -math.inf, 1j, [1]])
def test_what_is_no_number(value):
    assert not is_number(value) and not is_whole(value) and not is_above_0(value)


def test_numbers_above_0():
    assert is_above_0(0.1) and is_above_0(np.float32(2)) and not is_above_0(0)


@pytest.mark.parametrize("value", [2, 2.0, "2", " 2 ", np.int8(2)])
def test_numbers_may_be_written_as_texts(value):
    assert number_of(value) == 2.0 and isinstance(number_of(value), float)


@pytest.mark.parametrize("value", [True, "two", "", "nan", math.inf, None, [2], {}, 10**400])
def test_what_stands_for_no_number(value):
    assert number_of(value) is None


def test_lists():
    assert is_list([]) and is_list((1,)) and not is_list("ab") and not is_list(b"ab")
    assert not is_list({1}) and not is_list(None)
