import dataclasses
import json
import math

import numpy as np
import pytest

from geodl_lab import open_model
from geodl_lab.cards import FOLDED, card, headline, names, one_line, rows, scaling_words, text
from geodl_lab.decoders import Decoder, Recognizer
from geodl_lab.errors import TrustError
from geodl_lab.inputs import Fit, InputSpec
from geodl_lab.package import Field, ModelPackage, make_classes
from geodl_lab.planning import choose_window
from geodl_lab.runtime import Closed, Model


def make(network=None, **said):
    """A model of which nothing but its description is needed."""
    facts = {
        "name": "net", "task": "classify", "inputs": InputSpec(("red", "nir")),
        "classes": make_classes(["a", "b"]), "window": 64, "field": Field(True, stride=8, halo=16),
    }  # fmt: skip
    return Model(ModelPackage(**{**facts, **said}), network)


def said_of(model):
    return dict(rows(card(model)))


def test_a_card_is_what_the_package_says():
    model = open_model("naip-trees")
    package, known = model.package, card(model)
    assert json.loads(json.dumps(known, allow_nan=False)) == known
    assert known["bands"] == ["red", "green", "blue", "nir"] and known["sha256"] == package.sha256
    assert known["scale"] == package.inputs.scale and known["cell_size"] == 0.6
    assert known["classes"] == [{"value": 1, "name": "tree", "color": "#2e9e4f"}]
    assert known["decoder"]["threshold"] == package.decoder.threshold
    (height, _), halo = choose_window(package)
    assert known["window"] == height and known["halo"] == halo
    assert known["recompute"] == pytest.approx((height / (height - 2 * halo)) ** 2, abs=0.01)
    assert known["runnable"] and known["framework"] == "PyTorch"


def test_words_tell_the_same():
    said = said_of(open_model("naip-trees"))
    assert said["gives"] == "detect: objects as points; 1 class"
    assert said["wants"] == "red, green, blue, nir; uint8; cells of 0.6 m"
    assert said["scaling"] == "value / 255" and said["runs"] == "with PyTorch"
    assert "f1 0.738" in said["accuracy"] and "place Santa Monica" in said["accuracy"]


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({}, "values as they are stored"),
        ({"scale": 0.5}, "value / 2"),
        ({"scale": 3.5}, "value * 3.5"),
        ({"scale": 1e-4, "low": (0, 0), "high": (9, 8)}, "clip(value, 0, (9, 8)) / 10000"),
        ({"low": (-math.inf, 1)}, "clip(value, (none, 1), none)"),
        ({"mean": (1, 2)}, "value - mean; mean (1, 2)"),
        ({"std": (2, 2)}, "value / std; std 2"),
        ({"mean": (1, 1), "std": (2, 3)}, "(value - mean) / std; mean 1; std (2, 3)"),
    ],
)
def test_scaling_is_a_formula_with_its_numbers(inputs, words):
    known = card(make(inputs=InputSpec(("red", "nir"), **inputs)))
    assert scaling_words(known) == words
    value = np.array([5.0, 7.0])
    spec = known
    low = [-np.inf if v is None else v for v in spec["low"] or [None] * 2]
    high = [np.inf if v is None else v for v in spec["high"] or [None] * 2]
    fed = (np.clip(value, low, high) * spec["scale"] - (spec["mean"] or 0)) / (spec["std"] or 1)
    names_ = {"value": value, "none": np.nan, "mean": spec["mean"], "std": spec["std"]}
    formula = words.split(";")[0].replace("values as they are stored", "value")
    if "none" not in formula:  # the words compute what the numbers do
        names_ |= {"clip": np.clip, "mean": np.array(spec["mean"]), "std": np.array(spec["std"])}
        assert np.allclose(eval(formula, {}, names_), fed)


@pytest.mark.parametrize(
    ("said", "label", "words"),
    [
        ({"field": Field(False, halo=16)}, "windows", "64 x 64 px, halo 16 px, stride 1 px; "),
        ({"field": Field(False, halo=16)}, "windows", "unbounded, so seams are not exact; 4 p"),
        ({"field": Field(False, halo=16), "width": 96}, "windows", "64 x 96 px, halo 16 px"),
        ({"field": Field(False, halo=40)}, "windows", "seams are not exact"),
        ({}, "windows", "stride 8 px; seams are exact"),
        ({"fixed_window": True, "field": Field(True, halo=30)}, "windows", "less than the recept"),
        (
            {"inputs": InputSpec(("red", "B05"), other_names=("B04", "B05"))},
            "wants",
            "red (B04), B05; any pixel type",
        ),
        ({"inputs": InputSpec(count=7)}, "wants", "7 bands of any name; any pixel type"),
        ({"task": "regress"}, "gives", "regress: a value for every pixel; 2 quantities"),
        ({"task": "detect", "decoder": Decoder("masks")}, "gives", "objects as outlines; 2"),
        ({"task": "detect", "decoder": Decoder("yolo", 0.25, nms=0.7)}, "scores", "yolo, least"),
        ({"task": "recognize", "recognizer": Recognizer()}, "gives", "one is right; 2 labels"),
        (
            {
                "task": "recognize",
                "recognizer": Recognizer(False, "sigmoid", (0.1, 0.2)),
                "inputs": InputSpec(("red",), fit=Fit("squash", 128, 160)),
            },
            "scores",
            "sigmoid, least score (0.1, 0.2)",
        ),
        (
            {"inputs": InputSpec(("red",), fit=Fit("squash", 128, 160))},
            "fit",
            "the whole image, stretched to 128 x 160 px",
        ),
        ({"task": "recognize", "recognizer": Recognizer()}, "scores", "softmax, least score 0.025"),
        ({"about": {"license": "MIT"}}, "licence", "MIT"),
        ({"about": {"accuracy": {"a": {"b": [1, 0.25]}, "c": None}}}, "accuracy", "a: b 1, 0.25;"),
    ],
)  # fmt: skip
def test_each_kind_is_said_in_words(said, label, words):
    assert words in said_of(make(**said))[label]


def test_what_does_not_run_says_why():
    closed = make(Closed(TrustError("'f.py' is a program and was not run; trust it first")))
    known = card(closed)
    assert not known["runnable"] and known["reason"].startswith("'f.py' is a program")
    assert said_of(closed)["runs"].startswith("no: 'f.py' is a program")
    assert "'f.py' is a program" in repr(closed)


def test_text_is_for_a_terminal():
    model = make(classes=make_classes([f"class {i}" for i in range(200)]))
    lines = text(card(model)).splitlines()
    assert sum("  class " in line for line in lines) == 200
    assert text(card(model), fold=FOLDED).count("  class ") == FOLDED
    assert f"... and {200 - FOLDED} more" in repr(model)
    assert max(map(len, lines)) <= 100 and len({line[:14].rstrip() for line in lines}) > 5
    long = {**card(model), "content_sha256": "0" * 64, "where": "here"}
    assert "content sha256 0000" in text(long)


def test_a_package_cannot_steer_a_terminal_nor_flood_it():
    evil = "a\x1b[31m\n\u202eb"
    model = make(name=evil, about={"title": evil, "description": "x" * 10_000})
    shown = repr(model)
    assert "\x1b" not in shown and "\u202e" not in shown and len(shown) < 2500
    assert headline(card(model)) == "a [31m b 1.0.0: a [31m b"
    assert one_line("word " * 900).endswith(" ...")


def test_whatever_json_says_of_accuracy_is_plain():
    deep = 0.5
    for _ in range(50):
        deep = {"deeper": deep}
    about = {"accuracy": {"nan": math.nan, "np": np.float64(0.5), "deep": deep, "set": {1}}}
    known = card(make(about=about))
    json.dumps(known, allow_nan=False)
    assert known["accuracy"]["nan"] is None and "..." in json.dumps(known["accuracy"]["deep"])
    assert card(make(about={"accuracy": [1, 2], "title": None}))["accuracy"] == [1, 2]


def test_where_it_is_from_is_added_by_who_knows():
    known = card(make(), format="Esri model", trusted=True)
    assert known["format"] == "Esri model"
    assert rows(known)[-2:] == [("format", "Esri model"), ("trusted", "yes")]


def test_many_names_fold():
    classes = card(make(classes=make_classes(list("abcdef"))))["classes"]
    assert names(classes) == "a, b, c, d, ... (6)" and names(classes[:2]) == "a, b"


def test_a_model_shows_itself_without_its_network():
    model = open_model("tree-crowns")
    assert repr(model) == str(model) == text(card(model), fold=FOLDED)
    assert "Conv2d" not in repr(model)
    assert repr(dataclasses.replace(model, network=None)).startswith("tree-crowns 1.0.0: Tree")
