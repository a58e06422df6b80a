"""Areas of classes and counts of labels, against geodesic polygons and counting by hand."""

import geopandas
import numpy as np
import pyproj
import pytest
import shapely
import xarray as xr
from affine import Affine

from geodl_lab import class_areas, label_counts, open_raster, save, totals
from geodl_lab.errors import OptionError, RasterError
from geodl_lab.testing import make_raster

FLAGS = {
    "flag_values": np.array([0, 3], dtype=np.uint8),
    "flag_meanings": "open_water tree",
    "flag_colors": "#0000ff #00ff00",
}


def class_raster(transform, crs):
    """Rows 0..9 are trees, the rest is water, columns 0..4 have no data."""
    values = np.zeros((40, 60), np.uint8)
    values[:10], values[:, :5] = 3, 255
    raster = xr.DataArray(values, dims=("y", "x"), attrs=FLAGS)
    raster = raster if crs is None else raster.rio.write_crs(crs).rio.write_transform(transform)
    return raster.rio.write_nodata(255)


def hectares(raster):
    table = class_areas(raster)
    return dict(zip(table["name"], table["hectares"], strict=True))


def on_ground(left, bottom, right, top, to_degrees=lambda x, y: (x, y)):
    """Hectares of a rectangle in a CRS, as a polygon of many geodesics."""
    across, up = np.linspace(left, right, 300), np.linspace(bottom, top, 300)
    x = np.r_[across, np.full(300, right), across[::-1], np.full(300, left)]
    y = np.r_[np.full(300, bottom), up, np.full(300, top), up[::-1]]
    geod = pyproj.Geod(ellps="WGS84")
    return abs(geod.polygon_area_perimeter(*to_degrees(x, y))[0]) / 1e4


@pytest.mark.parametrize(
    ("crs", "west", "north", "hectare"),
    [
        ("EPSG:26911", 4e5, 37e5, 0.36 / 1e4),
        ("EPSG:2229", 2e6, 6e5, 0.36 * (1200 / 3937) ** 2 / 1e4),
    ],
)
def test_a_projected_pixel_has_the_area_of_its_plane_in_metres(crs, west, north, hectare):
    raster = class_raster(Affine(0.6, 0, west, 0, -0.6, north), crs)
    assert hectares(raster) == pytest.approx({"tree": 550 * hectare, "open water": 1650 * hectare})


@pytest.mark.parametrize("cell", [1e-5, 0.01, 1.0])
def test_a_pixel_of_degrees_has_its_area_on_the_ellipsoid(cell):
    raster = class_raster(Affine(cell, 0, 10, 0, -cell, 50), "EPSG:4326")
    west, east = 10 + 5 * cell, 10 + 60 * cell
    assert hectares(raster) == pytest.approx(
        {
            "tree": on_ground(west, 50 - 10 * cell, east, 50),
            "open water": on_ground(west, 50 - 40 * cell, east, 50 - 10 * cell),
        },
        rel=1e-4 if cell == 1 else 1e-6,  # an edge of 300 geodesics is not quite a parallel
    )


def test_rows_from_south_to_north_and_quarter_turns_have_the_same_areas():
    upright = class_raster(Affine(0.01, 0, 10, 0, -0.01, 50), "EPSG:4326")
    table = class_areas(upright)
    flipped = class_raster(Affine(0.01, 0, 10, 0, 0.01, 49.6), "EPSG:4326")
    flipped.values[:] = upright.values[::-1]
    assert class_areas(flipped)["hectares"].tolist() == pytest.approx(table["hectares"].tolist())


def test_web_mercator_is_measured_on_the_ground(monkeypatch):
    raster = class_raster(Affine(1000, 0, 1e6, 0, -1000, 6.5e6), "EPSG:3857")
    to_degrees = pyproj.Transformer.from_crs(3857, 4326, always_xy=True).transform
    expected = on_ground(1_005_000, 6_490_000, 1_060_000, 6_500_000, to_degrees)
    assert hectares(raster)["tree"] == pytest.approx(expected, rel=1e-6)
    monkeypatch.setattr(totals, "SAMPLES", 5)
    assert hectares(raster)["tree"] == pytest.approx(expected, rel=1e-4)


def test_without_a_crs_there_are_pixels_and_no_hectares():
    table = class_areas(class_raster(None, None))
    assert table["pixels"].tolist() == [1650, 550] and table["share"].tolist() == [0.75, 0.25]
    assert table["hectares"].isna().all()


def test_it_says_value_name_and_colour_of_what_occurs_alone():
    raster = class_raster(Affine(0.01, 0, 10, 0, -0.01, 50), "EPSG:4326")
    raster[:10, :30] = 7  # a value that has no name
    table = class_areas(raster.where(raster != 0, 3))
    assert table["value"].tolist() == [3, 7] and table["name"].tolist() == ["tree", "7"]
    assert table["color"].tolist() == ["#00ff00", "#808080"]
    assert table["share"].sum() == pytest.approx(1)


def test_nothing_but_nodata_has_no_rows():
    raster = class_raster(Affine(0.6, 0, 4e5, 0, -0.6, 3.7e6), "EPSG:26911")
    raster[:] = 255
    assert len(class_areas(raster)) == 0


def test_lazy_and_saved_rasters_are_measured_alike_block_by_block(tmp_path, monkeypatch):
    raster = class_raster(Affine(0.01, 0, 10, 0, -0.01, 50), "EPSG:4326")
    expected = class_areas(raster)
    monkeypatch.setattr("geodl_lab.settings.CHUNK", 16)
    lazy = raster.chunk(y=16, x=24)
    assert class_areas(lazy).round(6).equals(expected.round(6)) and lazy.chunks is not None
    saved = open_raster(save(raster, tmp_path / "a.tif"))
    assert class_areas(saved).round(6).equals(expected.round(6))
    assert saved.dl.class_areas().round(6).equals(expected.round(6))


def test_a_raster_without_classes_is_refused():
    with pytest.raises(RasterError, match=r"3 bands .* is no class raster, .*da\.dl\.classify"):
        class_areas(make_raster())


def test_labels_are_counted_the_most_frequent_first():
    frame = geopandas.GeoDataFrame(
        {"label": ["car", "tree", "tree"], "score": [0.5, 0.25, 0.75]},
        geometry=[shapely.Point(0, 0)] * 3,
    )
    table = label_counts(frame)
    assert table.to_dict("list") == {
        "label": ["tree", "car"], "count": [2, 1], "mean_score": [0.5, 0.5],
    }  # fmt: skip
    assert label_counts(frame.drop(columns="score"))["count"].tolist() == [2, 1]
    assert len(label_counts(frame[:0])) == 0
    with pytest.raises(OptionError, match=r"no 'label'; give what da\.dl\.detect"):
        label_counts(frame.drop(columns="label"))
