"""Files of chips, read back."""

import numpy as np
import pytest
import rasterio

from geodl_lab.exports import CHIP_FORMATS
from geodl_lab.exports.chip_files import chip_frame, world_file, write_chip, write_label
from geodl_lab.exports.frames import Frame, Wanted, frame_of
from geodl_lab.exports.places import Place
from geodl_lab.exports.readers import open_chips
from geodl_lab.grid import Window
from tests.exports.conftest import TRANSFORM

WHERE = Frame("EPSG:32631", TRANSFORM, (8, 8))


@pytest.mark.parametrize(("top", "dtype"), [(255, "uint8"), (256, "uint16"), (65535, "uint16")])
@pytest.mark.parametrize("ending", ["tif", "png"])
def test_labels_have_as_many_bits_as_they_need(tmp_path, top, dtype, ending):
    values = np.zeros((8, 8), np.int32)
    values[2, 3] = top
    (path, *_) = write_label(tmp_path / f"1.{ending}", values, WHERE)
    with rasterio.open(path) as file:
        assert file.dtypes == (dtype,)
        assert np.array_equal(file.read(1), values)


def test_names_of_bands_and_nodata_are_kept(scene, tmp_path):
    with rasterio.open(scene, "r+") as file:
        file.descriptions = ("a", "b", "c", "d")
    with open_chips([scene], frame_of([scene], wanted=Wanted())) as reader:
        write_chip(
            tmp_path / "1.tif", np.ones((4, 8, 8), np.uint8), chips=CHIP_FORMATS["TIFF"],
            reader=reader, where=WHERE,
        )  # fmt: skip
    with rasterio.open(tmp_path / "1.tif") as file:
        assert (file.descriptions, file.nodata) == (("a", "b", "c", "d"), 0)


def test_a_file_that_lost_pixels_is_noticed(scene, tmp_path, monkeypatch):
    write = rasterio.io.DatasetWriter.write
    monkeypatch.setattr(rasterio.io.DatasetWriter, "write", lambda f, a: write(f, a * 0))
    with pytest.raises(OSError, match="read back differs"):
        write_label(tmp_path / "1.tif", np.ones((8, 8), np.int32), WHERE)


def test_a_world_file_has_the_middle_of_the_first_pixel():
    numbers = [float(line) for line in world_file(TRANSFORM).split()]
    assert numbers == [2, 0, 0, -2, 500_001, 3_999_999]


def test_pixel_space_has_no_georeference():
    place = Place(Window(3, 4, 8, 8))
    assert chip_frame(WHERE, place, georeferenced=True).transform * (0, 0) == (500_008, 3_999_994)
    assert chip_frame(WHERE, place, georeferenced=False).crs == ""
