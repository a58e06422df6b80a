"""Labels in pixels of a chip, compared with shapely and with counting."""

import geopandas
import numpy as np
import pytest
import shapely

from geodl_lab.errors import OptionError, RasterError
from geodl_lab.exports.frames import Wanted, frame_of
from geodl_lab.exports.labels import raster_labels, read_areas, read_features
from geodl_lab.exports.places import Place
from geodl_lab.exports.readers import open_chips
from geodl_lab.grid import Window
from tests.exports.conftest import BOXES, on_map, write_raster


@pytest.fixture
def frame(scene):
    return frame_of([scene], wanted=Wanted())


def written(tmp_path, shapes, name="f.gpkg", crs="EPSG:32631", **columns):
    rows = geopandas.GeoDataFrame(columns or {"n": range(len(shapes))}, geometry=shapes, crs=crs)
    rows.to_file(tmp_path / name)
    return tmp_path / name


def test_objects_are_clipped_to_the_chip(frame, features):
    labels = read_features(features, frame)
    found = labels.objects(Place(Window(4, 8, 8, 16)), 0)
    assert np.allclose(found.boxes, [[12, 0, 16, 8], [0, 0, 2, 5], [0, 1, 6, 8]])
    assert found.values.tolist() == [2, 2, 7]
    assert found.areas.tolist() == [32, 10, 42]
    assert [label.name for label in labels.classes] == ["house", "barn"]


def test_a_feature_that_only_touches_is_outside(frame, features):
    assert len(read_features(features, frame).objects(Place(Window(14, 20, 8, 8)), 0)) == 0


def test_other_crs_and_formats_say_the_same(frame, features, tmp_path):
    truth = read_features(features, frame)
    rows = geopandas.read_file(features)
    rows.to_parquet(tmp_path / "same.parquet")
    rows.to_crs(4326).to_file(tmp_path / "same.geojson")
    for name, near in (("same.parquet", 1e-9), ("same.geojson", 1e-3)):
        labels = read_features(tmp_path / name, frame)
        assert np.abs(shapely.bounds(labels.shapes) - shapely.bounds(truth.shapes)).max() < near


def test_points_and_lines_get_a_radius_and_areas_do_not(frame, tmp_path):
    shapes = [shapely.Point(500_020, 3_999_960), on_map(0, 0, 5, 5)]
    labels = read_features(written(tmp_path, shapes), frame, buffer=6)
    assert np.allclose(shapely.bounds(labels.shapes), [[7, 17, 13, 23], [0, 0, 5, 5]])


def test_invalid_areas_are_mended_and_missing_ones_left_out(frame, tmp_path):
    bow = shapely.Polygon([(500_000, 4_000_000), (500_020, 3_999_980), (500_020, 4_000_000),
                           (500_000, 3_999_980)])  # fmt: skip
    labels = read_features(written(tmp_path, [bow, None]), frame)
    assert shapely.area(labels.shapes).tolist() == [50]


def test_regions_of_a_class_raster_are_objects(frame, tmp_path):
    values = np.zeros((1, 70, 100), np.uint16)
    for value, (x0, y0, x1, y1) in zip((300, 2, 2), BOXES, strict=True):
        values[0, y0:y1, x0:x1] = value
    path = write_raster(tmp_path / "c.tif", values)
    with open_chips([path], frame) as reader:
        labels = raster_labels(reader, path)
        found = labels.objects(Place(Window(0, 0, 32, 32)), 0)
        pixels = labels.pixels(Place(Window(0, 0, 32, 32)), 0)
    assert sorted(zip(found.values.tolist(), found.areas.tolist(), strict=True)) == [
        (2, 76), (300, 120),
    ]  # fmt: skip
    assert np.array_equal(pixels, values[0, :32, :32])


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (np.zeros((1, 70, 100), np.float32), "1 bands of float32"),
        (np.zeros((2, 70, 100), np.uint8), "2 bands"),
        (np.full((1, 70, 100), -5, np.int16), "holds values from -5"),
        (np.full((1, 70, 100), 70_000, np.int32), "to 70000; possible"),
    ],
)
def test_what_is_no_class_raster_is_told(frame, tmp_path, values, match):
    path = write_raster(tmp_path / "c.tif", values)
    with pytest.raises(RasterError, match=match), open_chips([path], frame) as reader:
        raster_labels(reader, path).pixels(Place(Window(0, 0, 8, 8)), 0)


def test_files_that_are_no_features_are_told(frame, tmp_path):
    (tmp_path / "bad.gpkg").write_text("no")
    with pytest.raises(OptionError, match=r"'bad.gpkg' does not open as features"):
        read_features(tmp_path / "bad.gpkg", frame)
    with pytest.raises(OptionError, match=r"'none.gpkg' cannot be read"):
        read_features(tmp_path / "none.gpkg", frame)
    with pytest.raises(OptionError, match="holds no features with a geometry"):
        read_features(written(tmp_path, [None]), frame)


def test_masks_share_their_areas(frame, tmp_path):
    a = written(tmp_path, [on_map(0, 0, 50, 50)], "a.gpkg")
    b = written(tmp_path, [on_map(20, 0, 90, 50)], "b.gpkg")
    assert read_areas([a, b], frame).bounds == (20, 0, 50, 50)
    with pytest.raises(OptionError, match="holds no polygon"):
        read_areas([written(tmp_path, [shapely.Point(1, 1)], "p.gpkg")], frame)
