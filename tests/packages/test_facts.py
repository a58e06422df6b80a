import inspect

import pytest

from geodl_lab import from_torch
from geodl_lab.errors import ModelError
from geodl_lab.packages.facts import Said


def test_the_names_and_defaults_are_those_of_from_torch():
    ours = inspect.signature(Said).parameters
    live = inspect.signature(from_torch).parameters
    assert set(ours) - set(live) == {"width", "sha256"} and set(live) - set(ours) == {"module"}
    for name in set(ours) & set(live):
        assert ours[name].default == live[name].default, name
        assert ours[name].annotation == live[name].annotation, name


def test_what_is_said_becomes_facts():
    facts = Said(task="detect", bands=2, classes=["a"], window=64, width=32, labels_from=0).facts
    assert facts.shape == (1, 2, 64, 32) and facts.decoding["labels_from"] == 0
    assert [label.value for label in facts.classes] == [1]
    assert [label.name for label in Said(task="regress", bands=1).facts.classes] == ["value"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"width": 0}, "width 0 is not possible"),
        ({"window": None}, "window None is not possible"),
        ({"classes": "abc"}, "classes 'abc' are no list"),
        ({"bands": None}, "of a wrong type"),
    ],
)
def test_what_is_no_fact_is_refused(said, message):
    with pytest.raises(ModelError, match=message):
        assert Said(**{"bands": 1, **said}).facts
