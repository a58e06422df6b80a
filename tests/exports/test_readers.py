"""Pixels, compared with the array they were written from."""

import numpy as np
import pytest
import rasterio
from affine import Affine

from geodl_lab.errors import RasterError
from geodl_lab.exports.frames import Wanted, frame_of
from geodl_lab.exports.places import Place
from geodl_lab.exports.readers import open_chips
from geodl_lab.grid import Window
from tests.exports.conftest import TRANSFORM, write_raster

VALUES = np.arange(70 * 100, dtype=np.float32).reshape(1, 70, 100)


def chip(rasters, place, frame_of_rasters=None, wanted=None, **kwargs):
    frame = frame_of(frame_of_rasters or rasters, wanted=wanted or Wanted())
    with open_chips(rasters, frame, **kwargs) as reader:
        return reader.read(place)


def test_over_the_edge_there_is_no_data(tmp_path):
    path = write_raster(tmp_path / "a.tif", VALUES, nodata=-1)
    pixels = chip([path], Place(Window(-2, 95, 8, 8)))
    assert (pixels.values[0, ~pixels.valid] == -1).all()
    assert np.array_equal(pixels.values[0, 2:, :5], VALUES[0, :6, 95:])
    assert pixels.valid.sum() == 30


def test_stored_values_stay_as_they_are(tmp_path):
    values = VALUES.copy()
    values[0, 3, 4] = np.nan
    path = write_raster(tmp_path / "a.tif", values, nodata=-1)
    pixels = chip([path], Place(Window(0, 0, 8, 8)))
    assert np.array_equal(pixels.values, values[:, :8, :8], equal_nan=True)
    assert not pixels.valid[3, 4]


@pytest.mark.parametrize("angle", [90.0, 180.0, 270.0])
def test_quarter_turns_are_exact(tmp_path, angle):
    path = write_raster(tmp_path / "a.tif", VALUES)
    pixels = chip([path], Place(Window(20, 30, 9, 9), angle))
    assert np.array_equal(pixels.values[0], np.rot90(VALUES[0, 20:29, 30:39], round(angle / 90)))


def test_the_first_raster_with_data_is_seen(tmp_path):
    holes = VALUES.copy()
    holes[0, :, 50:] = -1
    a = write_raster(tmp_path / "a.tif", holes, nodata=-1)
    b = write_raster(
        tmp_path / "b.tif", VALUES + 10**4, nodata=-1,
        transform=TRANSFORM * Affine.translation(40, 0),
    )  # fmt: skip
    pixels = chip([a, b], Place(Window(0, 0, 70, 140)))
    assert np.array_equal(pixels.values[0, :, :50], VALUES[0, :, :50])
    assert np.array_equal(pixels.values[0, :, 50:], VALUES[0, :, 10:] + 10**4)
    assert pixels.valid.all()


def test_another_grid_is_brought_to_the_frame(tmp_path):
    path = write_raster(tmp_path / "a.tif", VALUES.astype(np.uint16))
    coarse = chip([path], Place(Window(0, 0, 14, 20)), wanted=Wanted(cell_size=10))
    assert np.array_equal(coarse.values[0], VALUES[0, 2::5, 2::5])
    assert coarse.valid.all()
    beyond = chip([path], Place(Window(0, 0, 20, 20)), wanted=Wanted(cell_size=10))
    assert not beyond.valid[14:].any()


def test_alpha_tells_where_a_warped_raster_reaches(tmp_path):
    values = np.full((4, 70, 100), 200, np.uint8)
    turned = TRANSFORM * Affine.rotation(45)
    path = write_raster(
        tmp_path / "a.tif", values, transform=turned, photometric="rgb", alpha="yes"
    )
    frame = frame_of([path], wanted=Wanted())
    pixels = chip([path], Place(Window(0, 0, *frame.shape_yx)))
    assert abs(int(pixels.valid.sum()) - 7000) < 200
    assert (pixels.values[:, pixels.valid] == 200).all()


def test_rasters_that_do_not_fit_are_told(tmp_path, scene, rgb):
    photo = write_raster(tmp_path / "p.tif", VALUES[:, :9], crs=None, transform=None)
    with pytest.raises(RasterError, match=r"rgb.tif' has 3 bands .* one by one"):
        chip([scene, rgb], Place(Window(0, 0, 8, 8)))
    waves = write_raster(tmp_path / "w.tif", VALUES.astype(np.complex64))
    with pytest.raises(RasterError, match="pixels of type complex64"):
        chip([waves], Place(Window(0, 0, 8, 8)))
    with pytest.raises(RasterError, match="one of them has no CRS"):
        chip([photo], Place(Window(0, 0, 8, 8)), [scene])


def test_a_damaged_file_is_told(tmp_path):
    path = write_raster(tmp_path / "a.tif", VALUES, compress="deflate")
    with rasterio.open(path) as file:
        place = int(file.tags(1, ns="TIFF")["BLOCK_OFFSET_0_0"]) if file.tags(1, ns="TIFF") else 300
    data = bytearray(path.read_bytes())
    data[place + 50 : place + 400] = bytes(350)
    path.write_bytes(data)
    with pytest.raises(RasterError, match=r"'a.tif' (cannot be read at row|does not open)"):
        chip([path], Place(Window(0, 0, 70, 100)))
