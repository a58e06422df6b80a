"""Values of a model.json that are of another kind are named by their key."""

import copy
import dataclasses
import json

import pytest

from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field
from geodl_lab.packages.native_schema import (
    DECODER,
    FIELD,
    FIT,
    INPUT,
    RECOGNIZER,
    check_native,
)
from geodl_lab.packages.registry import ZOO

NATIVE = sorted(ZOO.glob("*/model.json"))


@pytest.mark.parametrize(
    ("schema", "value"),
    [(INPUT, InputSpec), (DECODER, Decoder), (RECOGNIZER, Recognizer), (FIELD, Field), (FIT, Fit)],
)
def test_all_that_a_value_is_made_of_may_be_said(schema, value):
    assert {key.removesuffix("?") for key in schema} == {f.name for f in dataclasses.fields(value)}


@pytest.mark.parametrize("file", NATIVE, ids=lambda file: file.parent.name)
def test_the_bundled_ones_pass(file):
    check_native(json.loads(file.read_text()), "model.json")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("window", 0, r"'window': it holds 0, and whole pixels, 1..32768 is needed"),
        ("window", 10**30, "'window'"),
        ("window", True, "'window': it holds True"),
        ("window", None, "'window'"),
        ("name", 5, "'name': it holds 5, and text"),
        ("input", [], "'input': it holds .*, and an object"),
        ("input.mean", [0.5, "a", 0.5], r"'input.mean\[1\]': it holds 'a', and a number"),
        ("input.scale", None, "'input.scale'"),
        ("input.scale", float("inf"), "'input.scale'"),
        ("input.colour", 1, "'input.colour', which is not known; possible are bands"),
        ("field.stride", 0, "'field.stride'"),
        ("classes", "tree", "'classes': it holds 'tree', and a list"),
        ("decoder.anchors", [[1, [2]]], r"'decoder.anchors\[0\]\[1\]'"),
    ],
)
def test_wrong_values_are_named(path, value, message):
    text = json.loads((ZOO / "tree-crowns" / "model.json").read_text())
    place, *keys = path.split(".")[::-1]
    inner = text
    for key in keys[::-1]:
        inner = inner[key]
    inner[place] = value
    with pytest.raises(ModelError, match=message):
        check_native(text, "model.json")


def test_words_for_people_may_be_anything():
    text = json.loads((ZOO / "tree-crowns" / "model.json").read_text())
    check_native({**copy.deepcopy(text), "accuracy": [None], "decoder": None}, "model.json")
