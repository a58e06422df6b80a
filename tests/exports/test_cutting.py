"""What one chip shows, format by format, where the whole is not in test_training_data."""

import geopandas
import numpy as np
import pytest
import rasterio
import shapely

from geodl_lab.errors import OptionError
from geodl_lab.exports.cutting import open_item
from geodl_lab.exports.options import ExportOptions
from geodl_lab.exports.plans import Item, Plan
from tests.exports.conftest import on_map, write_raster

TILE = {"tile_yx": (32, 32)}


def cut(tmp_path, scene, labels, index, **options):
    plan = Plan((Item((scene,)),), tmp_path, ExportOptions(**TILE | options), (labels,))
    (tmp_path / "out").mkdir(exist_ok=True)
    with open_item(plan, plan.items[0]) as cutter:
        return cutter.cut(index, tmp_path / "out")


def write(tmp_path, shapes, **columns):
    rows = geopandas.GeoDataFrame(columns, geometry=shapes, crs="EPSG:32631")
    rows.to_file(tmp_path / "more.gpkg")
    return tmp_path / "more.gpkg"


@pytest.fixture
def class_raster(tmp_path):
    values = np.zeros((1, 70, 100), np.uint8)
    values[0, :20, :20], values[0, :25, 20:32] = 4, 3  # 400 and 300 pixels of the first chip
    return write_raster(tmp_path / "classes.tif", values)


def test_a_chip_without_data_or_label_is_none(scene, features, tmp_path):
    assert cut(tmp_path, scene, features, 2) is None
    assert cut(tmp_path, scene, features, 2, all_tiles=True).objects == ()
    outside = {"format": "Labeled_Tiles", "tile_yx": (8, 8)}
    assert cut(tmp_path, scene, features, 3, **outside) is None
    assert not list(tmp_path.glob("out/*/3*"))


def test_a_labelled_tile_of_a_class_raster_has_its_most_frequent_class(
    scene, class_raster, tmp_path
):
    chip = cut(tmp_path, scene, class_raster, 0, format="Labeled_Tiles", blacken=True)
    assert (chip.label, chip.objects[0].value, chip.objects[0].box) == (4, 4, (0, 0, 32, 32))
    with rasterio.open(tmp_path / "out/images/0.tif") as file, rasterio.open(scene) as whole:
        values, truth = file.read(), whole.read()[:, :32, :32]
    assert np.array_equal(values[:, :20, :20], truth[:, :20, :20])
    assert not values[:, 20:].any()
    assert not values[:, :, 20:].any()


def test_classes_are_counted_in_pixels(scene, class_raster, tmp_path):
    chip = cut(tmp_path, scene, class_raster, 0, format="Classified_Tiles")
    assert chip.pixels == {0: 1024 - 700, 3: 300, 4: 400}


def test_regions_of_a_class_raster_are_masks(scene, class_raster, tmp_path):
    chip = cut(tmp_path, scene, class_raster, 0, format="RCNN_Masks")
    assert chip.files["labels/3"] == ["0.tif"]
    assert {found.value: found.area for found in chip.objects} == {4: 1600, 3: 1200}


def test_a_hidden_object_has_no_number(scene, tmp_path):
    small, large = on_map(4, 4, 6, 6), on_map(2, 2, 9, 9)
    labels = write(tmp_path, [small, large, on_map(20, 20, 22, 22)], n=[1, 2, 3])
    cut(tmp_path, scene, labels, 0, format="RCNN_Masks")
    with rasterio.open(tmp_path / "out/labels/1/0.tif") as file:
        values = file.read(1)
    assert np.unique(values).tolist() == [0, 1, 2]
    assert values[5, 5] == values[2, 2] == 1


def test_points_need_a_radius_where_an_area_is_wanted(scene, tmp_path):
    labels = write(tmp_path, [shapely.Point(500_020, 3_999_980)], n=[1])
    for format in ("KITTI_rectangles", "PASCAL_VOC_rectangles", "RCNN_Masks"):
        with pytest.raises(OptionError, match="a buffer radius above 0"):
            cut(tmp_path, scene, labels, 0, format=format)
    chip = cut(tmp_path, scene, labels, 0, buffer=4)
    assert np.allclose(chip.objects[0].box, (8, 8, 12, 12))
    chip = cut(tmp_path, scene, labels, 0, format="Labeled_Tiles")
    assert chip.label == 1


@pytest.mark.parametrize(
    ("format", "values", "match"),
    [
        ("Classified_Tiles", [0], "class value 0"),
        ("MultiLabeled_Tiles", ["a,b"], "'a,b' holds one"),
        ("RCNN_Masks", ["../a"], "cannot be a folder's name"),
        ("Imagenet", ["a/b"], "cannot be a folder's name"),
    ],
)
def test_classes_that_a_format_cannot_hold_are_refused(scene, tmp_path, format, values, match):
    labels = write(tmp_path, [on_map(2, 2, 9, 9)], value=values)
    with pytest.raises(OptionError, match=match):
        cut(tmp_path, scene, labels, 0, format=format)
