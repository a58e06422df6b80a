import contextlib
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geodl_lab.errors import ModelError
from geodl_lab.inputs import InputSpec
from geodl_lab.packages.scaling import SCALINGS, STEPS, canonical
from geodl_lab.runtime import Session

# What each step does, as the specification writes it.
NAIVE = {
    "min-max": lambda x, s: (x - s["minimum"]) / (s["maximum"] - s["minimum"]),
    "z-score": lambda x, s: (x - s["mean"]) / s["stddev"],
    "clip": lambda x, s: np.minimum(np.maximum(x, s["minimum"]), s["maximum"]),
    "clip-min": lambda x, s: np.maximum(x, s["minimum"]),
    "clip-max": lambda x, s: np.minimum(x, s["maximum"]),
    "offset": lambda x, s: x - s["value"],
    "scale": lambda x, s: x / s["value"],
}
NUMBERS = st.floats(-1000, 1000).map(lambda x: round(x, 2))
SLOPES = st.sampled_from([-400.0, -2.0, -0.5, 0.1, 0.5, 1.0, 3.0, 255.0])


def fed(steps, values):
    """What the engine feeds a net for stored values (band, x), float32."""
    fields = canonical(steps, len(values))
    session = Session(torch.nn.Identity(), "cpu", "fp32", 1)
    batch = np.asarray(values)[None, :, None]
    return session.forward(batch, InputSpec(count=len(values), **fields)).numpy()[0, :, 0]


@st.composite
def a_step(draw):
    kind = draw(st.sampled_from([*NAIVE, None]))
    if kind is None:
        return draw(st.sampled_from([None, {"type": None}]))
    low = draw(NUMBERS)
    high = low + abs(draw(SLOPES))
    return {"type": kind, "minimum": low, "maximum": high, "mean": low, "stddev": draw(SLOPES),
            "value": draw(SLOPES)}  # fmt: skip


@settings(max_examples=300)
@given(st.lists(st.lists(a_step(), max_size=4), min_size=3, max_size=3))
def test_any_chain_is_one_clip_and_one_linear_map(chains):
    values = np.linspace(-1500, 1500, 61)
    naive, largest = [], []
    for chain in chains:
        x, size, slope = values, np.abs(values), 1.0
        for step in chain:
            if step and step["type"]:
                x = NAIVE[step["type"]](x, step)
                if "clip" not in step["type"]:
                    zero = NAIVE[step["type"]](0.0, step)
                    slope = abs(NAIVE[step["type"]](1.0, step) - zero)
                    size = size * slope + abs(zero)  # what float32 may round is a share of this
                size = np.maximum(size, np.abs(x))
        naive.append(x)
        largest.append(size)
    assert np.all(np.abs(fed(chains, [values] * 3) - naive) <= 1e-6 * np.maximum(largest, 1e-3))


@pytest.mark.parametrize("kind", SCALINGS)
def test_each_kind_alone_is_what_the_specification_says(kind):
    step = {"type": kind, "minimum": 10, "maximum": 200, "mean": 90.5, "stddev": 40.25,
            "value": 128}  # fmt: skip
    values = np.arange(256, dtype=np.uint8)
    expected = NAIVE[kind](values.astype(np.float32), step)
    assert np.allclose(fed([step], [values] * 2), expected, rtol=1e-6, atol=0)


def test_simple_scalings_keep_their_numbers():
    open_ = {"low": None, "high": None, "scale": 1.0, "mean": None, "std": None}
    assert canonical(None, 3) == canonical([None], 3) == open_
    assert canonical([{"type": "scale", "value": 255}], 3) == {**open_, "scale": 1 / 255}
    ends = {"type": "min-max", "minimum": 0, "maximum": 10000}
    assert canonical([ends], 2) == {**open_, "scale": 1 / 10000}
    score = [{"type": "z-score", "mean": 0.3, "stddev": 0.2}, None]
    assert canonical(score, 2) == {**open_, "mean": (0.3, 0.0), "std": (0.2, 1.0)}
    assert canonical([{"type": "clip-min", "minimum": 5}], 1) == {**open_, "low": (5.0,)}
    assert canonical([{"type": "offset", "value": 5}], 1) == {**open_, "mean": (5.0,)}


def test_a_negative_slope_swaps_the_bounds():
    chain = [{"type": "scale", "value": -2}, {"type": "clip-min", "minimum": -10}]
    assert canonical([chain], 1)["high"] == (20.0,)
    assert canonical([chain], 1)["low"] is None


def test_lists_of_steps_are_one_step_too():
    chain = [{"type": "clip", "minimum": 0, "maximum": 3000}, {"type": "scale", "value": 3000}]
    listed = {"type": "processing", "format": STEPS, "expression": chain}
    assert canonical([listed], 2) == canonical([chain], 2)
    assert canonical([listed], 2)["high"] == (3000.0, 3000.0)
    assert canonical([{"type": "processing", "format": None}], 1) == canonical(None, 1)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("min-max", "scaling of 2 bands is given as 'min-max'; give a list"),
        ([None] * 3, "given as 3 steps; give a list of one step for all"),
        ([], "given as 0 steps"),
        (["z-score"], "is of no kind that is known; possible are objects of type min-max"),
        ([{"type": "l2"}], "'l2'.* is of no kind that is known"),
        ([{"type": ["clip"]}], "is of no kind"),
        ([{"type": "scale"}], "needs 'value' as a number"),
        ([{"type": "scale", "value": "2"}], "needs 'value' as a number"),
        ([{"type": "scale", "value": True}], "needs 'value' as a number"),
        ([{"type": "scale", "value": math.nan}], "needs 'value' as a number"),
        ([{"type": "scale", "value": 10**400}], "needs 'value' as a number"),
        ([{"type": "scale", "value": 0}], "deviation of 0.0 is not possible"),
        ([{"type": "z-score", "mean": 1, "stddev": 0}], "deviation of 0.0 is not possible"),
        ([{"type": "z-score", "mean": 1e300, "stddev": 1}], "mean of 1e[+]300"),
        ([{"type": "min-max", "minimum": 3, "maximum": 3}], "needs a minimum below its maximum"),
        ([{"type": "processing", "format": "python", "expression": "os:system"}],
         "'python' expression 'os:system' is code, which is never run"),
        ([{"type": "processing", "format": STEPS, "expression": [{"type": "processing"}]}],
         "holds a list in a list"),
    ],
)  # fmt: skip
def test_what_is_no_scaling_is_refused(steps, message):
    with pytest.raises(ModelError, match=message):
        canonical(steps, 2)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "minimum", "maximum", "value", "mean", "stddev", "format"]),
            inner,
        )
    ),
)


@settings(max_examples=300)
@given(ANY, st.sampled_from([*SCALINGS, "processing"]))
def test_nothing_but_our_error_comes_of_nonsense(value, kind):
    for steps in (value, [value], [{"type": kind, "value": value, "minimum": value,
                                    "maximum": 3, "mean": value, "stddev": value,
                                    "format": STEPS, "expression": value}]):  # fmt: skip
        with contextlib.suppress(ModelError):
            canonical(steps, 2)
