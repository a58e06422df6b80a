"""Masks by cells and by points agree with shapely and numpy."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS

from geodl_lab.errors import OptionError
from geodl_lab.grid import Window
from geodl_lab.jobs.masks import MapMask, make_mask, read_features
from geodl_lab.jobs.places import Place
from geodl_lab.mosaics import MapGrid

UTM = CRS.from_epsg(26911)
GRID = MapGrid(UTM, Affine(2, 0, 400_000, 0, -2, 3_700_000), (60, 50))
SHAPES = shapely.buffer(shapely.points([[400_020, 3_699_950], [400_070, 3_699_900]]), 18)


@pytest.fixture
def features(tmp_path):
    path = tmp_path / "mask.gpkg"
    geopandas.GeoDataFrame(geometry=SHAPES, crs=UTM).to_file(path)
    return path


@pytest.fixture
def raster(tmp_path):
    values = np.zeros((60, 50), np.uint8)
    values[10:30, 5:25] = 7
    path = tmp_path / "mask.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=60, width=50, count=1, dtype="uint8", crs=UTM,
        transform=GRID.transform,
    ) as file:  # fmt: skip
        file.write(values, 1)
    return path, values > 0


def middles():
    rows, columns = np.indices((60, 50))
    return np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], axis=1)


def test_features_cover_the_cells_whose_middle_they_hold(features):
    mask = make_mask(Place(mask=features, mask_of_features=True), GRID)
    xy = np.stack(GRID.transform @ middles().T, axis=1)
    truth = shapely.contains(shapely.union_all(SHAPES), shapely.points(xy)).reshape(60, 50)
    window = Window(5, 7, 40, 33)
    assert np.array_equal(mask.covers(window), truth[window.slices_yx])
    assert not mask.covers(Window(0, 40, 3, 3)).any()
    assert np.array_equal(mask.keeps(middles()), truth.ravel())


def test_a_raster_covers_where_it_has_data(raster):
    path, truth = raster
    mask = make_mask(Place(mask=path), GRID)
    window = Window(5, 7, 40, 33)
    assert np.array_equal(mask.covers(window), truth[window.slices_yx])
    assert np.array_equal(mask.keeps(middles()), truth.ravel())
    beyond = MapMask(
        path, False, MapGrid(UTM, GRID.transform @ Affine.translation(-20, -20), (1, 1))
    )
    assert np.array_equal(beyond.covers(Window(0, 0, 60, 50))[20:, 20:], truth[:40, :30])
    assert not beyond.covers(Window(0, 0, 20, 50)).any()


def test_no_mask_is_everywhere():
    assert make_mask(Place(), GRID) is None


def test_masks_without_a_place_are_refused(raster, tmp_path):
    photo = MapGrid(None, Affine.identity(), (60, 50))
    with pytest.raises(OptionError, match="a mask needs a raster with a CRS"):
        make_mask(Place(mask=raster[0]), photo)
    path = tmp_path / "nowhere.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(OptionError, match=r"'nowhere.geojson' cannot be read"):
        read_features(path)
    frame = geopandas.GeoDataFrame(geometry=SHAPES)
    frame.to_parquet(tmp_path / "free.parquet")
    with pytest.raises(OptionError, match="have no CRS"):
        make_mask(Place(mask=tmp_path / "free.parquet", mask_of_features=True), GRID)
