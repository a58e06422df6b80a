"""Bodies as clients send them, and as nobody should."""

import time

import pytest

from geodl_lab.server.deepomatic.bodies import nested, parse_json, structured
from geodl_lab.server.deepomatic.errors import FieldError


@pytest.mark.parametrize("name", ["inputs[0]image.bbox.xmin", "inputs[0].image.bbox.xmin"])
def test_flat_names_become_nested_values(name):
    assert nested([(name, "0.1")]) == {"inputs": [{"image": {"bbox": {"xmin": "0.1"}}}]}


def test_lists_are_in_order_whatever_order_they_came_in():
    fields = [("a.b[1]", "two"), ("a.b[0]", "one"), ("name", "x")]
    assert nested(fields) == {"a": {"b": ["one", "two"]}, "name": "x"}


def test_a_list_of_lists():
    assert nested([("a[0][1]", 2), ("a[0][0]", 1)]) == {"a": [[1, 2]]}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([("a[1]", 1)], "without gaps"),
        ([("a[0]", 1), ("a.b", 2)], "without gaps"),
        ([("a", 1), ("a", 2)], "sent twice"),
        ([("a", 1), ("a.b", 2)], "sent twice"),
        ([("a.b", 1), ("a", 2)], "sent twice"),
        ([("", 1)], "not possible"),
        ([("a[", 1)], "not possible"),
        ([("a[123456]", 1)], "not possible"),
        ([("a" + ".a" * 30, 1)], "not possible"),
        ([("a" * 2000, 1)], "not possible"),
    ],
)
def test_names_that_are_not_possible(fields, words):
    with pytest.raises(FieldError, match=words):
        nested(fields)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[" * 30 + "]" * 30, "20 levels"),
        ("NaN", "NaN is no number"),
        ('{"a": 1e999}', "not finite"),
        (r'{"a": "\ud800"}', "half characters"),
        (r'{"\ud800": 1}', "half characters"),
        (b"\xff\xfe\xfd", "no JSON"),
        ("1" * 5000, "no JSON"),
        ("[" + "0," * 1_000_001 + "0]", "more than 1000000 values"),
        (b"[" + b"0," * 1_000_001 + b"0]", "more than 1000000 values"),
    ],
)
def test_json_that_is_none(text, words):
    with pytest.raises(FieldError, match=words):
        parse_json(text, "the body")


def test_a_long_name_takes_no_time():
    begun = time.process_time()
    with pytest.raises(FieldError, match="not possible"):
        nested([("a" + ".a" * 2**21, 1)])
    assert time.process_time() - begun < 0.5


def test_a_value_may_be_a_text_of_json():
    assert structured(' {"a": 1}', "x") == {"a": 1}
    assert structured("word", "x") == "word"
    assert structured("", "x") is None
    assert structured([1], "x") == [1]
