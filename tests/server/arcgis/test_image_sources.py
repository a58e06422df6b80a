"""What a raster says of itself, as rasterio reads it."""

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from geodl_lab.errors import RasterError
from geodl_lab.jobs.catalog import Service
from geodl_lab.server.arcgis.image_info import describe
from geodl_lab.server.arcgis.image_reads import read_points
from geodl_lab.server.arcgis.image_sources import EMPTY, published, stored

CLASSES = [{"value": 1, "name": "water", "color": "#0000ff"}]


@pytest.fixture
def save(tmp_path):
    """Writes a raster; answers its path."""

    def save(array, **profile):
        count, height, width = array.shape
        path = tmp_path / "a.tif"
        with rasterio.open(
            path, "w", driver="GTiff", count=count, height=height, width=width, dtype=array.dtype,
            **{"crs": "EPSG:32611", "transform": Affine(2, 0, 10, 0, -3, 90), **profile},
        ) as file:  # fmt: skip
            file.write(array)
            if profile.get("photometric") == "PALETTE":
                file.write_colormap(
                    1, {1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (9, 9, 9, 255)}
                )
        return path

    return save


def service(path, **info):
    return Service("a", "raster", "", "", {"raster": str(path)}, info)


def test_the_grid_of_a_result(save):
    source = published(service(save(np.zeros((1, 4, 5), "uint8"), nodata=255), classes=CLASSES))
    assert source.grid.shape_yx == (4, 5) and source.grid.nodata == 255
    assert source.box == (10, 78, 20, 90) and source.pixel_size == (2, 3)
    assert source.grid.crs.to_epsg() == 32611 and source.grid.turn == 0
    assert source.classes[0].rgb == (0, 0, 255) and source.is_ours


def test_probabilities_have_names_and_no_classes(save):
    path = save(np.zeros((2, 4, 5), "float32"))
    source = published(service(path, classes=CLASSES, bands=["water", "land"]))
    assert source.grid.names == ("water", "land") and not source.classes


def test_a_place_that_waits_is_empty():
    source = published(Service("a", "raster", "", ""))
    assert source.grid is EMPTY and source.file is None


def test_a_palette_of_a_store_s_raster_is_its_classes(save):
    path = save(np.zeros((1, 4, 5), "uint8"), photometric="PALETTE", nodata=3)
    source = stored("1", "title", path)
    assert [(label.value, label.color) for label in source.classes] == [
        (0, "#000000"), (1, "#ff0000"), (2, "#00ff00"),
    ]  # fmt: skip
    assert (source.name, source.title, source.is_ours) == ("Stores/1", "title", False)


def test_alpha_is_no_band(save):
    path = save(np.zeros((4, 4, 5), "uint8"), photometric="RGB", alpha="YES")
    grid = stored("1", "", path).grid
    assert grid.numbers == (1, 2, 3) and grid.masked and grid.shown == (0, 1, 2)
    assert grid.alpha == 4
    assert "marks it as alpha" in describe(stored("1", "", path))["description"]


def test_a_fourth_band_with_a_name_is_no_alpha(save):
    path = save(np.zeros((4, 4, 5), "uint8"))  # GDAL marks the last as alpha
    with rasterio.open(path, "r+") as file:
        assert file.colorinterp[3] == ColorInterp.alpha
        file.set_band_description(4, "NIR")
    source = stored("1", "", path)
    assert source.grid.numbers == (1, 2, 3, 4) and not source.grid.masked
    assert describe(source)["description"] == ""
    assert read_points(source, np.array([[0.5, -0.5]]), source.grid.crs).valid.shape == (4, 1, 1)


@pytest.mark.parametrize(("nodata", "name"), [(None, "NIR"), (0, "NIR"), (0, None)])
def test_infrared_that_its_file_calls_alpha_is_a_band(save, nodata, name):
    path = save(np.zeros((4, 4, 5), "uint8"), photometric="RGB", alpha="YES", nodata=nodata)
    with rasterio.open(path, "r+") as file:
        file.set_band_description(4, name)
    grid = stored("1", "", path).grid
    assert grid.numbers == (1, 2, 3, 4) and not grid.masked


def test_another_file_of_that_name_is_looked_at_anew(save):
    assert stored("1", "", save(np.zeros((1, 4, 5), "uint8"))).grid.shape_yx == (4, 5)
    assert stored("1", "", save(np.zeros((1, 6, 5), "uint8"))).grid.shape_yx == (6, 5)


def test_what_cannot_be_shown_is_said(save, tmp_path):
    with pytest.raises(RasterError, match="no real numbers"):
        stored("1", "", save(np.zeros((1, 4, 5), "complex64")))
    (tmp_path / "b.tif").write_text("<VRTDataset/>")
    with pytest.raises(RasterError, match="first bytes"):
        stored("1", "", tmp_path / "b.tif")
    with pytest.raises(RasterError, match="is gone"):
        published(service(tmp_path / "c.tif"))


def test_turned_rasters_lie_within_their_corners(save):
    turn = Affine.translation(100, 100) @ Affine.rotation(90) @ Affine.scale(2, -3)
    source = published(service(save(np.zeros((1, 4, 5), "uint8"), transform=turn)))
    assert source.box == pytest.approx((100, 100, 112, 110))
    assert source.pixel_size == pytest.approx((2, 3))


def test_rows_of_a_part_of_a_photo_go_downwards(save):
    path = save(np.zeros((1, 4, 5), "uint8"), crs=None, transform=Affine.translation(20, 30))
    assert published(service(path)).box == (20, -34, 25, -30)
