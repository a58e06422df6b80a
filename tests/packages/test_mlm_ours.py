import contextlib
import hashlib

import pytest

from geodl_lab.errors import ModelError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([("properties/geodl:package", {"window": [0, 1]}), ("input/input/shape/2", -1),
          ("input/input/shape/3", -1)], "give height and width"),
        ([("properties/geodl:package", {"inputs": {"mean": ["x"]}})], "which are no numbers"),
    ],
)  # fmt: skip
def test_damaged_words_of_ours_are_refused(opened, folder, changes, message):
    with pytest.raises(ModelError, match=message):
        opened(folder, *changes)


def test_standard_keys_win_over_ours(opened, folder):
    ours = {"name": "Other", "inputs": {"mean": [1, 2, 3], "std": [1, 1, 1]}, "window": [96, 96],
            "field": {"finite": True, "halo": 32}, "sha256": "of another file"}  # fmt: skip
    package = opened(folder, ("properties/geodl:package", ours)).package
    assert package.name == "Fields-4" and package.window == 64
    assert package.inputs.mean == (0.28, 0.26, 0.27)
    assert package.field == opened(folder).package.field  # measured: it is not of this file


SMALL = [("input/input/shape", [-1, 3, 16, 16]), ("output/result/shape", [-1, 4, 16, 16])]


FREE = [("input/input/shape", [-1, 3, -1, -1]), ("output/result/shape", [-1, 4, -1, -1])]


@pytest.mark.parametrize("part", ["inputs", "field", "decoder", "recognizer", "window", "about"])
def test_wrong_types_in_our_own_key_give_our_error_or_a_model(opened, tiny, part):
    sha256 = hashlib.sha256((tiny / "net.pt").read_bytes()).hexdigest()
    whole = [
        ("properties/mlm:tasks", ["scene-classification"]),
        ("output/tasks", ["scene-classification"]),
        ("output/result", {"shape": [-1, 4], "dim_order": ["batch", "class"]}),
    ]
    boxes = ("output/tasks", ["object-detection"])
    for value in (None, 1, "x", [], {}, [1], [8, 8], {"x": 1}, {"mean": 3}, {"low": [None] * 3},
                  {"finite": True, "stride": 0}, {"finite": True, "halo": "a"},
                  {"thresholds": 3}, {"exclusive": 3}, {"name": []}, {"anchors": 3}):  # fmt: skip
        ours = ("properties/geodl:package", {part: value, "sha256": sha256})
        for more in (FREE, [*SMALL, boxes], [SMALL[0], *whole]):
            with contextlib.suppress(ModelError):
                opened(tiny, *more, ours)


def test_a_field_measured_in_another_window_is_measured_anew(opened, tiny):
    sha256 = hashlib.sha256((tiny / "net.pt").read_bytes()).hexdigest()
    field = {"finite": True, "stride": 2, "halo": 6}
    for window, halo in (([16, 16], 6), ([64, 64], 1)):
        ours = {"sha256": sha256, "window": window, "field": field}
        package = opened(tiny, *SMALL, ("properties/geodl:package", ours)).package
        assert package.field.halo == halo
