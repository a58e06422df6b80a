"""Thinned reading: the pixels in the middle, however the raster is held."""

import numpy as np
import pytest
import rasterio

from geodl_lab import open_raster
from geodl_lab.raster import as_raster
from geodl_lab.testing import make_raster
from geodl_lab.thinning import STRIP, thinned


def middles(values, step):
    """What of each step by step pixels lies in the middle, pixel by pixel."""
    rows = [min(row + step // 2, values.shape[1] - 1) for row in range(0, values.shape[1], step)]
    columns = [min(c + step // 2, values.shape[2] - 1) for c in range(0, values.shape[2], step)]
    return np.array([[[band[r, c] for c in columns] for r in rows] for band in values])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("thin") / "a.tif"
    make_raster((2, 2 * STRIP + 70, 90)).rio.to_raster(path)
    return path


@pytest.mark.parametrize("most", [1, 20, 37])
def test_arrays_and_dask_give_the_pixels_in_the_middle(most):
    raster = make_raster((2, 101, 70))
    expected = middles(raster.values, -(-101 // most))
    assert max(expected.shape[1:]) <= most
    for held in (raster, raster.chunk(x=30, y=40)):
        assert np.array_equal(thinned(as_raster(held), most), expected)


def test_a_raster_that_is_small_stays_as_it_is():
    raster = make_raster((2, 30, 20))
    assert np.array_equal(thinned(as_raster(raster), 30), raster.values)


def test_a_file_is_read_from_its_overviews(file, tmp_path):
    with rasterio.open(file) as source:
        profile, stored = source.profile, source.read()
    path = tmp_path / "overviews.tif"
    with rasterio.open(path, "w", **profile) as copy:
        copy.write(stored)
    with rasterio.open(path, "r+") as copy:
        copy.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
        small = copy.read(out_shape=(2, -(-stored.shape[1] // 8), -(-stored.shape[2] // 8)))
    seen = thinned(as_raster(open_raster(path)), -(-stored.shape[1] // 8))
    assert np.array_equal(seen, small) and seen.shape[1] < 150


@pytest.mark.parametrize("part", [
    lambda da: da[1:], lambda da: da[:, ::-1], lambda da: da[:, 40:, 3:], lambda da: da.load() + 1,
])  # fmt: skip
def test_a_part_of_a_file_is_not_taken_for_all_of_it(file, part):
    raster, whole = part(open_raster(file)), part(open_raster(file).load())
    step = -(-max(whole.shape) // 100)
    assert np.array_equal(thinned(as_raster(raster), 100), middles(whole.values, step))
