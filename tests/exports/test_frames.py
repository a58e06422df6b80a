"""Grids, compared with what rasterio says of the same."""

from pathlib import Path

import numpy as np
import pytest
import rasterio.warp
import shapely
from affine import Affine

from geodl_lab.errors import OptionError, RasterError
from geodl_lab.exports.frames import Frame, Wanted, frame_of
from geodl_lab.grid import Window
from tests.exports.conftest import TRANSFORM, write_raster

NOTHING = Wanted()


def made(path, transform=TRANSFORM, **kwargs):
    return write_raster(path, np.ones((1, 70, 100), np.uint8), transform=transform, **kwargs)


def test_a_raster_keeps_its_own_grid(scene):
    frame = frame_of([scene], wanted=NOTHING)
    assert (frame.transform, frame.shape_yx) == (TRANSFORM, (70, 100))
    assert (frame.pixel_area, frame.cell_yx) == (4, (2, 2))


def test_an_extent_takes_the_pixels_that_it_touches(scene):
    wanted = Wanted((500_005, 3_999_980, 500_011, 3_999_990))
    frame = frame_of([scene], wanted=wanted)
    assert frame == frame_of([scene], wanted=NOTHING).cut(Window(5, 2, 5, 4))
    degrees = rasterio.warp.transform_bounds("EPSG:32631", "EPSG:4326", *wanted.extent)
    again = frame_of([scene], wanted=Wanted(degrees, "EPSG:4326"))
    assert np.abs(np.subtract(again.shape_yx, frame.shape_yx)).max() <= 2


def test_an_extent_elsewhere_is_told(scene):
    with pytest.raises(OptionError, match="lies outside the raster"):
        frame_of([scene], wanted=Wanted((0, 0, 1, 1)))


def test_several_rasters_have_one_grid_over_all(scene, tmp_path):
    other = made(tmp_path / "b.tif", TRANSFORM * Affine.translation(-10.2, 30))
    frame = frame_of([scene, other], wanted=NOTHING)
    assert frame.shape_yx == (100, 111)
    assert frame.transform == TRANSFORM * Affine.translation(-11, 0)


def test_a_turned_raster_is_laid_north_up_or_kept_as_it_is(tmp_path):
    path = made(tmp_path / "turned.tif", TRANSFORM * Affine.rotation(30))
    laid = frame_of([path], wanted=NOTHING)
    assert laid.transform.b == laid.transform.d == 0
    assert np.allclose(laid.cell_yx, 2)
    kept = frame_of([path], reference="pixel", wanted=NOTHING)
    assert kept.shape_yx == (70, 100)


def test_cell_size_crs_and_snap_raster(scene, tmp_path):
    coarse = frame_of([scene], wanted=Wanted(cell_size=5))
    assert (coarse.shape_yx, coarse.cell_yx) == ((28, 40), (5, 5))
    snap = made(tmp_path / "snap.tif", Affine(2, 0, 500_001, 0, -2, 4_000_001))
    snapped = frame_of([scene], wanted=Wanted(snap=snap))
    assert (snapped.transform.c % 2, snapped.transform.f % 2) == (1, 1)
    moved = frame_of([scene], wanted=Wanted(crs="EPSG:3857"))
    assert "3857" in str(rasterio.crs.CRS.from_wkt(moved.crs).to_epsg())


def test_what_cannot_be_laid_is_told(tmp_path, scene):
    photo = made(tmp_path / "photo.tif", None, crs=None)
    assert frame_of([photo], wanted=NOTHING).crs == ""
    with pytest.raises(RasterError, match="without a CRS cannot be laid"):
        frame_of([photo], wanted=Wanted(cell_size=3))
    with pytest.raises(OptionError, match="2 were given as one"):
        frame_of([scene, scene], reference="pixel", wanted=NOTHING)
    with pytest.raises(RasterError, match=r"'none.tif' does not open"):
        frame_of([Path("none.tif")], wanted=NOTHING)
    with pytest.raises(OptionError, match="cell size is 0"):
        Wanted(cell_size=0)


def test_shapes_come_in_pixels():
    frame = Frame("", TRANSFORM, (70, 100))
    (point,) = frame.to_pixels(np.array([shapely.Point(500_003, 3_999_990)]))
    assert (point.x, point.y) == (1.5, 5)
