"""Pieces of rasters: they partition, hold what the raster holds, and overviews are honest means."""

import numpy as np
import pytest

from geodl_lab import open_raster
from geodl_lab.errors import CancelledError
from geodl_lab.grid import Window
from geodl_lab.maps import blocks as module
from geodl_lab.maps.blocks import ArrayBlocks, Overview, averaged
from geodl_lab.raster import as_raster
from geodl_lab.testing import make_raster, wrap


def never():
    return False


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(module, "TILE", 64)
    monkeypatch.setattr(module, "LEAST", 32)


def made(kind, tmp_path, raster):
    if kind == "memory":
        return raster
    if kind == "dask":
        return raster.chunk({"band": 1, "y": 7, "x": 50})
    raster.rio.to_raster(tmp_path / "a.tif")
    return open_raster(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["memory", "file", "dask"])
def test_blocks_partition_the_raster_and_hold_its_values(kind, tmp_path):
    raster = make_raster((2, 150, 170))
    pieces = ArrayBlocks(as_raster(made(kind, tmp_path, raster)))
    values, count = np.zeros((2, 150, 170), np.uint8), np.zeros((150, 170), int)
    for block in pieces.blocks(Window(0, 0, 150, 170)):
        values[:, *block.slices_yx] = pieces.compute(block, never)
        count[block.slices_yx] += 1
    assert (count == 1).all() and np.array_equal(values, raster.values)
    assert pieces.channels == 2 and not pieces.costly


@pytest.mark.parametrize("kind", ["memory", "dask"])
def test_the_blocks_of_an_area_are_those_that_meet_it(kind, tmp_path):
    pieces = ArrayBlocks(as_raster(made(kind, tmp_path, make_raster((1, 150, 170)))))
    every = pieces.blocks(Window(0, 0, 150, 170))
    for area in (Window(0, 0, 1, 1), Window(63, 60, 3, 9), Window(149, 169, 5, 5)):
        assert pieces.blocks(area) == [block for block in every if block.intersect(area)]
    assert pieces.blocks(Window(400, 0, 5, 5)) == pieces.blocks(Window(3, 3, 0, 0)) == []


def test_means_are_those_of_pixels_with_data():
    values = np.arange(2 * 5 * 7, dtype=np.uint8).reshape(2, 5, 7)
    values[:, 0, 0] = 200  # no data: in all bands
    values[0, 3, 3] = 200  # data: in one band only
    got = averaged(values, 3, 200)
    for y in range(2):
        for x in range(3):
            part = values[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
            seen = part[:, (part != 200).any(axis=0)]
            assert got[:, y, x].tolist() == np.rint(seen.mean(axis=1)).tolist()
    assert got.dtype == np.uint8 and got.shape == (2, 2, 3)


def test_means_of_nothing_are_nodata():
    values = np.full((1, 4, 4), np.nan, np.float32)
    values[0, 0, 0], values[0, 0, 1], values[0, 2, 2] = 3, np.inf, 5
    got = averaged(values, 2, None)
    assert got[0, 0, 0] == 3 and got[0, 1, 1] == 5 and np.isnan(got[0, 0, 1])
    assert averaged(np.zeros((1, 4, 4), np.int16), 2, 0).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("at_once", [1, 3000, 2**22])
def test_an_overview_is_the_mean_of_the_whole_raster(at_once, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    raster = make_raster((2, 330, 290), nodata=0)
    raster[:, :40, :40] = 0
    small = Overview(ArrayBlocks(as_raster(raster)), 8, 0, average=True)
    assert small.shape_yx == (42, 37)
    values = np.zeros((2, 42, 37), np.uint8)
    for block in small.blocks(Window(0, 0, 42, 37)):
        values[:, *block.slices_yx] = small.compute(block, never)
    assert np.array_equal(values, averaged(raster.values, 8, 0))
    assert small.blocks(Window(33, 0, 1, 1)) == [Window(32, 0, 10, 32)]


def test_an_overview_of_classes_takes_what_is_there():
    raster = wrap(np.random.default_rng(0).integers(0, 5, (1, 50, 47)).astype(np.uint8))
    small = Overview(ArrayBlocks(as_raster(raster)), 8, None, average=False)
    values = small.compute(Window(0, 0, *small.shape_yx), never)
    rows, columns = [4, 12, 20, 28, 36, 44, 49], [4, 12, 20, 28, 36, 44]
    assert np.array_equal(values, raster.values[:, rows][:, :, columns])


def test_an_overview_stops_between_strips(monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 1)
    small = Overview(ArrayBlocks(as_raster(make_raster((1, 99, 99)))), 8, None, average=True)
    answers = iter([False, False, True])
    with pytest.raises(CancelledError, match="cancelled"):
        small.compute(Window(0, 0, 13, 13), lambda: next(answers))
