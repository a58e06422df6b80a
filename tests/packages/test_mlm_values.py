import pytest

from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit
from geodl_lab.packages.mlm_values import built, number, objects, only, texts, typed


def test_values_of_the_right_kind_pass():
    assert typed({"a": 1}, dict, "x") == {"a": 1} and typed(3, int, "x") == 3
    assert objects([{}], "x") == [{}] and texts(["a"], "x") == ["a"] and only([2], "x") == 2
    assert built(Fit, {"kind": "crop", "height": 2, "width": 3}, "fit") == Fit("crop", 2, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: typed(None, dict, "assets"), "assets is missing; the item needs an object there"),
        (lambda: typed(True, int, "value"), "value is True; the item needs a whole number"),
        (lambda: texts(["a", 1], "tasks"), "an entry of tasks is 1; the item needs a text"),
        (lambda: objects("a", "bands"), "bands is 'a'; the item needs a list"),
        (lambda: only([], "mlm:input"), "0 entries of mlm:input; models with exactly one"),
        (lambda: built(Fit, {"size": 3}, "fit"), "fit lacks or misuses a key .*'size'"),
        (lambda: built(Fit, {"kind": "bend", "height": 1, "width": 1}, "fit"), "fit 'bend' is not"),
    ],
)
def test_others_are_named(call, message):
    with pytest.raises(ModelError, match=message):
        call()


@pytest.mark.parametrize("value", [None, "1", True, [], float("nan"), float("inf"), 10**400])
def test_what_is_no_finite_number_is_none(value):
    assert number(value) is None
    assert (number(2), number(0.5)) == (2.0, 0.5)
