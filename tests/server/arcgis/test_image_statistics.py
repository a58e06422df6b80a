"""Statistics against numpy's of the same values."""

import threading

import numpy as np
import pytest
import rasterio
from affine import Affine

from geodl_lab.server.arcgis import image_statistics
from geodl_lab.server.arcgis.image_files import FileId
from geodl_lab.server.arcgis.image_sources import EMPTY, ImageSource, grid_of
from geodl_lab.server.arcgis.image_statistics import Statistics, statistics_of


@pytest.fixture
def write(tmp_path):
    """Writes a raster; answers it as a source."""

    def write(array, name="a", **profile):
        count, height, width = array.shape
        with rasterio.open(
            tmp_path / f"{name}.tif", "w", driver="GTiff", count=count, height=height, width=width,
            dtype=array.dtype, crs="EPSG:32611", transform=Affine(2, 0, 0, 0, -2, 0), **profile,
        ) as file:  # fmt: skip
            file.write(array)
        file = FileId.of(tmp_path / f"{name}.tif", ours=True)
        return ImageSource("a", "a", file, grid_of(file))

    return write


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_a_small_raster_is_seen_exactly(write, dtype):
    values = (np.random.default_rng(0).random((2, 60, 50)) * 200).astype(dtype)
    values[:, 0] = 99
    for values_, seen in zip(values, statistics_of(write(values, nodata=99)), strict=True):
        known = values_[values_ != 99].astype(float)
        assert (seen.smallest, seen.largest) == (known.min(), known.max())
        assert seen.mean == pytest.approx(known.mean())
        assert seen.deviation == pytest.approx(known.std())
        assert (seen.low, seen.high) == pytest.approx(tuple(np.percentile(known, (2, 98))))
        assert sum(seen.counts) == known.size
        if dtype == "uint8":
            assert seen.counts == tuple(np.bincount(known.astype(int), minlength=256))


def test_what_is_not_finite_does_not_count(write):
    values = np.array([[[1, 2, np.nan, np.inf, -np.inf, 1e300]]])
    (seen,) = statistics_of(write(values))
    assert (seen.smallest, seen.largest, seen.mean) == (1, 2, 1.5)
    (seen,) = statistics_of(write(np.full((1, 3, 3), np.nan), "b"))
    assert seen == Statistics()
    assert statistics_of(ImageSource("a", "a", None, EMPTY)) == (Statistics(),)


def test_a_large_raster_without_overviews_is_sampled(write, monkeypatch):
    monkeypatch.setattr(image_statistics, "LOOK", 64)
    ramp = np.linspace(0, 1000, 400 * 400, dtype="float32").reshape(1, 400, 400)
    source = write(ramp, tiled=True, blockxsize=16, blockysize=16)
    assert not source.grid.has_overviews
    (seen,) = statistics_of(source)
    assert sum(seen.counts) == 64 * 64
    assert seen.mean == pytest.approx(500, abs=10) and seen.low == pytest.approx(20, abs=20)


def test_many_at_once_look_once(write, monkeypatch):
    looks = []
    look = image_statistics._look
    monkeypatch.setattr(
        image_statistics, "_look", lambda *given: looks.append(given) or look(*given)
    )
    source = write(np.ones((1, 30, 30), "uint8"))
    threads = [threading.Thread(target=statistics_of, args=(source,)) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(looks) == 1


def test_per_cents_are_cut_from_the_histogram():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    (seen,) = image_statistics.of_pixels(
        image_statistics.Pixels(values, np.ones(values.shape, bool))
    )
    assert seen.clipped(0, 0) == (0, 255)
    low, high = seen.clipped(10, 20)
    assert low == pytest.approx(25.6, abs=1.5) and high == pytest.approx(204.8, abs=1.5)
    assert Statistics().clipped(2, 2) == (0, 0)
