import dataclasses
import json
import math

import pytest

from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import ModelError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field, LabelClass, ModelPackage
from geodl_lab.packages.emd_keys import Emd
from geodl_lab.packages.emd_ours import (
    KEY,
    sharpen_decoding,
    sharpen_inputs,
    sharpen_recognizer,
    stored_about,
    stored_field,
    write_ours,
)

SPEC = InputSpec(
    ("red", "nir"),
    2,
    "uint16",
    0.1,
    (0.3, 0.7),
    (1.1, 1.3),
    0.25,
    (-math.inf, 5.0),
    (math.inf, 900.0),
    Fit("fill", 64, 48),
)
FIELD = Field(True, 4, 12, 0, 812.5, (0.25, 1e-9))


def package(**changes):
    facts = {
        "name": "a",
        "task": "detect",
        "inputs": SPEC,
        "classes": (LabelClass(1, "tree", "#000000"),),
        "window": 64,
        "field": FIELD,
        "decoder": Decoder("yolo", 0.3, nms=0.4, layout="objectness", activation="sigmoid"),
        "about": {"license": "CC0-1.0", "accuracy": {"F1": 0.9}, "emd": {"kept": "apart"}},
    }
    return ModelPackage(**{**facts, **changes})


def emd(pack, **keys):
    """What was written, as it is read."""
    ours = json.loads(json.dumps(write_ours(pack, weights="f00"), allow_nan=False))
    return Emd("a.emd", {KEY: ours, **keys})


def test_what_is_written_comes_back():
    read = emd(package())
    assert sharpen_inputs(InputSpec((), 2, positions=(0, 1)), read) == SPEC
    assert Decoder(**sharpen_decoding({}, read)) == package().decoder
    assert stored_field(read, weights="f00", padding=None) == FIELD
    assert stored_about(read) == {"license": "CC0-1.0", "accuracy": {"F1": 0.9}}
    how = Recognizer(False, "sigmoid", (0.2,), True, True)
    assert sharpen_recognizer(emd(package(task="recognize", recognizer=how))) == how


def test_standard_keys_win():
    read = emd(package())
    spec = InputSpec(("green", "blue"), 2, cell_size=2.0)
    assert sharpen_inputs(spec, read).bands == ("green", "blue")
    assert sharpen_inputs(spec, read).cell_size == 2.0
    assert sharpen_inputs(InputSpec((), 3), read) == InputSpec((), 3)
    assert sharpen_decoding({"threshold": 0.9}, read)["threshold"] == 0.9
    how = emd(package(task="recognize", recognizer=Recognizer()), CropSizeFixed=1)
    assert sharpen_recognizer(how).fixed_chip


@pytest.mark.parametrize(("change", "same"), [(1e-9, True), (1e-3, False)])
def test_numbers_that_agree_but_for_rounding_are_sharpened(change, same):
    standard = InputSpec(
        ("red", "nir"), 2, scale=0.1 * (1 + change), mean=(0.3, 0.7), std=(1.1, 1.3)
    )
    read = emd(package(), DataRange=[0, 1])
    assert (sharpen_inputs(standard, read).scale == 0.1) is same
    assert (sharpen_inputs(standard, read).low == SPEC.low) is same


def test_a_field_of_other_weights_or_another_padding_does_not_hold():
    read = emd(package())
    assert stored_field(read, weights="bad", padding=None) is None
    assert stored_field(read, weights="f00", padding=99) == FIELD  # measured, so not asked
    open_ = emd(package(field=dataclasses.replace(FIELD, finite=False)))
    assert stored_field(open_, weights="f00", padding=12) is not None
    assert stored_field(open_, weights="f00", padding=13) is None


def test_without_the_key_nothing_changes():
    none = Emd("a.emd", {})
    assert sharpen_inputs(SPEC, none) is SPEC and sharpen_decoding({}, none) == {}
    assert stored_field(none, weights="", padding=None) is None and stored_about(none) == {}
    assert sharpen_recognizer(none) == Recognizer()


@pytest.mark.parametrize(
    ("part", "value", "read"),
    [
        ("inputs", {"count": 0}, lambda e: sharpen_inputs(SPEC, e)),
        ("inputs", {"count": 2, "dtype": "text"}, lambda e: sharpen_inputs(SPEC, e)),
        ("inputs", {"count": 2, "mean": ["a"]}, lambda e: sharpen_inputs(SPEC, e)),
        ("inputs", {"count": 2, "fit": {"kind": "bend"}}, lambda e: sharpen_inputs(SPEC, e)),
        ("decoder", {"name": "magic"}, lambda e: sharpen_decoding({}, e)),
        ("decoder", {"size": 1}, lambda e: sharpen_decoding({}, e)),
        ("recognizer", {"activation": 3}, sharpen_recognizer),
        ("field", {"halo": -1}, lambda e: stored_field(e, weights="f00", padding=None)),
        ("field", {"memory": "much"}, lambda e: stored_field(e, weights="f00", padding=None)),
        ("field", [1], lambda e: stored_field(e, weights="f00", padding=None)),
    ],
)
def test_what_is_damaged_is_told(part, value, read):
    with pytest.raises(ModelError):
        read(Emd("a.emd", {KEY: {part: value, "weights": "f00"}}))
