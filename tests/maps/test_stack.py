"""The order of layers, their names, and what is told of each change."""

import pytest

from geodl_lab.errors import OptionError
from geodl_lab.maps.layers import Layer
from geodl_lab.maps.stack import Stack


@pytest.fixture
def told():
    return []


@pytest.fixture
def stack(told):
    stack = Stack(lambda layers: told.append([layer.name for layer in layers]))
    for name in "abc":
        stack.put(Layer(id=stack.fresh(), name=name, bounds=(0, 0, 1, 1)))
    return stack


@pytest.mark.parametrize(
    ("name", "by", "order"),
    [("a", 1, "bac"), ("c", -1, "acb"), ("c", 5, "abc"), ("b", -9, "bac"), ("a", 2, "bca")],
)
def test_a_layer_moves(stack, told, name, by, order):
    stack.move(stack.by_name(name).id, by)
    assert "".join(told[-1]) == order == "".join(stack.names())


def test_a_name_is_given_once(stack):
    assert stack.free("d") == "d"
    assert stack.free("a") == "a 2"


def test_a_replaced_layer_keeps_its_place_and_counts_its_pictures(stack):
    key = stack.by_name("b").id
    stack.replace(key, opacity=0.5)
    assert (stack.by_id(key).opacity, stack.by_id(key).version) == (0.5, 0)
    stack.replace(key, again=True)
    assert stack.by_id(key).version == 1
    assert stack.names() == ["a", "b", "c"]


def test_a_layer_that_is_gone_is_left_alone(stack):
    key = stack.by_name("b").id
    stack.take(key)
    stack.replace(key, opacity=0.5)
    assert stack.by_id(key) is None
    with pytest.raises(OptionError, match="no layer 'b' on the map; there are 'a', 'c'"):
        stack.by_name("b")
