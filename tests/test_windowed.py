"""Lazy results window by window: the same bits as the graph, one forward a block, slices too."""

import gc
import pickle

import numpy as np
import pytest

from geodl_lab import classify, probabilities, settings, windowed
from geodl_lab.errors import CancelledError
from geodl_lab.grid import Window
from geodl_lab.testing import make_raster
from geodl_lab.windowed import needs_model, windowed_of


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch):
    monkeypatch.setattr(settings, "CHUNK", 64)


@pytest.fixture(scope="module")
def lazy():
    return make_raster((3, 180, 170)).chunk({"band": -1, "y": 70, "x": 60})


def never():
    return False


def joined(found):
    """All blocks of a result as one array (channel, y, x); each pixel must come once."""
    values = np.zeros((len(found.channels), *found.shape_yx), found.work.head.dtype)
    count = np.zeros(found.shape_yx, int)
    for block in found.blocks(Window(0, 0, *found.shape_yx)):
        values[:, *block.slices_yx] = found.compute(block, never)
        count[block.slices_yx] += 1
    assert (count == 1).all()
    return values


@pytest.mark.parametrize(
    "options",
    [{}, {"area": (400_020, 3_699_900, 400_080, 3_699_950)}, {"cell_size": 1.0},
     {"cell_size": 0.4, "snap": True}, {"cell_size": 1.7, "snap": True}],
)  # fmt: skip
def test_blocks_are_bit_equal_to_the_computed_result(lazy, finite_model, options):
    result = classify(lazy, finite_model, **options)
    assert np.array_equal(joined(windowed_of(result))[0], result.values)


@pytest.mark.parametrize(
    "cut",
    [
        lambda p: p.isel(x=slice(13, 161), y=slice(90, 170)),
        lambda p: p.isel(y=slice(5, None)).isel(y=slice(7, 100), x=slice(64, 130)),
        lambda p: p.isel({"class": 2}),
        lambda p: p.isel({"class": slice(1, 3)}),
        lambda p: p.sel({"class": "c"}).isel(x=slice(0, 64)),
        lambda p: p.isel(x=slice(3, 160, 3)),
        lambda p: p.sel(x=slice(400_020, 400_060)),
    ],
)  # fmt: skip
def test_slices_are_followed(lazy, finite_model, cut):
    part = cut(probabilities(lazy, finite_model))
    values = joined(windowed_of(part))
    assert np.array_equal(values if part.ndim == 3 else values[0], part.values)


def test_what_keeps_the_values_keeps_the_windows(lazy, finite_model):
    result = classify(lazy, finite_model)
    for same in (
        result.copy(deep=True), result.assign_attrs(a=1), result.rename("b"),
        result.rio.write_crs("EPSG:3857"), result.assign_coords(x=np.arange(170.0)),
    ):  # fmt: skip
        assert windowed_of(same) is windowed_of(result)
    for other in (result + 1, result == 2, result.shift(x=1), result.where(result > 1)):
        assert windowed_of(other) is None and needs_model(other)
    for other in (result[::-1], result.T, result.isel(x=[3, 1])):
        assert needs_model(other)
        found = windowed_of(other)
        assert found is None or np.array_equal(joined(found)[0], other.values)
    for computed in (result.compute(), result.persist(), lazy):
        assert windowed_of(computed) is None and not needs_model(computed)
    assert windowed_of(pickle.loads(pickle.dumps(result))) is None


def test_a_block_is_one_forward_and_none_when_cancelled(lazy, finite_model):
    net = finite_model.network
    found = windowed_of(classify(lazy, finite_model))
    blocks, net.calls = found.blocks(Window(70, 70, 60, 60)), 0
    for block in blocks:
        found.compute(block, never)
    assert net.calls == len(blocks) > 1
    with pytest.raises(CancelledError, match="cancelled"):
        found.compute(blocks[0], lambda: True)
    assert net.calls == len(blocks)
    assert found.blocks(Window(1000, 1000, 3, 3)) == []


def test_nothing_is_kept_of_a_result_that_is_gone(lazy, finite_model):
    gc.collect()
    before = len(windowed._KNOWN)
    result = classify(lazy, finite_model)
    assert len(windowed._KNOWN) == before + 1
    del result
    gc.collect()
    assert len(windowed._KNOWN) == before
