"""Every format read back by a second way."""

import json
from xml.etree import ElementTree

import geopandas
import numpy as np
import pytest
import rasterio
import rasterio.features
import shapely
from PIL import Image

from geodl_lab.errors import OptionError, OutputError
from geodl_lab.exports.training_data import export_training_data

FOUR = {"map.txt", "stats.txt", "esri_accumulated_stats.json", "esri_model_definition.emd"}
TILE = {"tile_yx": (32, 32)}


def names(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def read(path):
    with rasterio.open(path) as file:
        return file.read(), file.profile


def definition(folder):
    return json.loads((folder / "esri_model_definition.emd").read_text())


def accumulated(folder):
    return json.loads((folder / "esri_accumulated_stats.json").read_text())


def on_map_boxes(file, rows):
    """Boxes in pixels of a chip as polygons in its CRS, by corners."""
    return [
        shapely.Polygon([file.transform * corner for corner in ((a, b), (c, b), (c, d), (a, d))])
        for a, b, c, d in rows
    ]


def clipped(features, chip):
    """Features of a chip by geopandas, clipped to its bounds."""
    frame = geopandas.read_file(features)
    cut = frame.set_geometry(frame.intersection(shapely.box(*chip.bounds)))
    return cut[cut.area > 0]


EXPECTED = {
    "KITTI_rectangles": {"images/N.tif", "labels/N.txt"},
    "PASCAL_VOC_rectangles": {"images/N.tif", "labels/N.xml"},
    "Classified_Tiles": {"images/N.tif", "labels/N.tif"},
    "MultiLabeled_Tiles": {"images/N.tif", "labels/N.xml"},
    "Export_Tiles": {"images/N.tif"},
}


@pytest.mark.parametrize("format", EXPECTED)
def test_each_format_has_its_folders(scene, features, tmp_path, format):
    out = export_training_data(scene, tmp_path / "out", features, format=format, **TILE)
    found = names(out)
    assert found >= FOUR
    stems = {"000000000", "000000001"}  # the other chips hold no feature
    assert found - FOUR == {f.replace("N", n) for f in EXPECTED[format] for n in stems}
    lines = (out / "map.txt").read_text().splitlines()
    assert {name for line in lines for name in line.split()} == found - FOUR
    assert definition(out)["MetaDataMode"] == accumulated(out)["MetaDataMode"] == format


def test_kitti_boxes_lie_on_the_map_where_the_clipped_features_do(scene, features, tmp_path):
    out = export_training_data(scene, tmp_path / "out", features, **TILE)
    for chip in sorted(out.glob("images/*.tif")):
        rows = [line.split() for line in (out / f"labels/{chip.stem}.txt").read_text().splitlines()]
        assert {len(row) for row in rows} == {15}
        with rasterio.open(chip) as file:
            found = on_map_boxes(file, [[float(edge) for edge in row[4:8]] for row in rows])
            truth = clipped(features, file)
        assert [row[0] for row in rows] == [str(value) for value in truth["Classvalue"]]
        for ours, theirs in zip(found, truth.geometry, strict=True):
            assert ours.symmetric_difference(theirs).area < 1e-6


def test_voc_says_what_kitti_says(scene, features, tmp_path):
    out = export_training_data(
        scene, tmp_path / "out", features, format="PASCAL_VOC_rectangles", **TILE
    )
    root = ElementTree.parse(out / "labels/000000000.xml").getroot()
    assert root.findtext("filename") == "000000000.tif"
    size = [int(root.findtext(f"size/{tag}")) for tag in ("width", "height", "depth")]
    assert size == [32, 32, 4]
    found = [
        (node.findtext("name"), *(float(edge.text) for edge in node.find("bndbox")))
        for node in root.findall("object")
    ]
    assert found == [("2", 20, 4, 32, 14), ("2", 3, 3, 10, 9), ("7", 8, 5, 14, 12)]


def test_chips_are_the_pixels_of_the_raster_where_they_lie(scene, features, tmp_path):
    options = TILE | {"stride_yx": (16, 20), "all_tiles": True, "start_index": 40}
    out = export_training_data(scene, tmp_path / "out", features, **options)
    whole, profile = read(scene)
    chips = sorted(out.glob("images/*.tif"))
    starts = [(y, x) for y in (0, 16, 32, 38) for x in (0, 20, 40, 60, 68)]
    assert [chip.stem for chip in chips] == [f"{n:09d}" for n in range(40, 60)]
    for (y, x), chip in zip(starts, chips, strict=True):
        values, like = read(chip)
        assert np.array_equal(values, whole[:, y : y + 32, x : x + 32])
        assert like["transform"] * (0, 0) == profile["transform"] * (x, y)
        assert (like["crs"], like["nodata"], like["dtype"]) == (profile["crs"], 0, "uint8")


def test_classified_tiles_are_what_rasterio_draws(scene, features, tmp_path):
    out = export_training_data(scene, tmp_path / "out", features, format="Classified_Tiles", **TILE)
    frame = geopandas.read_file(features)
    pairs = list(zip(frame.geometry, frame["Classvalue"], strict=True))
    for path in out.glob("labels/*.tif"):
        values, profile = read(path)
        truth = rasterio.features.rasterize(pairs, (32, 32), transform=profile["transform"])
        assert profile["dtype"] == "uint8"
        assert np.array_equal(values[0], truth)


def test_masks_count_the_objects_of_a_class(scene, features, tmp_path):
    out = export_training_data(scene, tmp_path / "out", features, format="RCNN_Masks", **TILE)
    assert names(out) - FOUR == {
        "images/000000000.tif", "images/000000001.tif",
        "labels/house/000000000.tif", "labels/house/000000001.tif", "labels/barn/000000000.tif",
    }  # fmt: skip
    houses = read(out / "labels/house/000000000.tif")[0][0]
    truth = np.zeros((32, 32))
    truth[4:14, 20:32], truth[3:9, 3:10] = 1, 2
    assert np.array_equal(houses, truth)


def test_panoptic_has_classes_and_objects(scene, features, tmp_path):
    out = export_training_data(
        scene, tmp_path / "out", features, instances=features, format="Panoptic_Segmentation",
        **TILE,
    )  # fmt: skip
    assert (out / "labels2/barn/000000000.tif").exists()
    assert read(out / "labels/000000000.tif")[0][0, 6, 9] == 7
    named = {c["Name"] for c in definition(out)["Panoptic_Segmentation_Instance_Classes"]}
    assert named == {"house", "barn"}


def test_a_labelled_tile_has_its_feature_in_the_middle(scene, features, tmp_path):
    options = {"format": "Labeled_Tiles", "tile_yx": (9, 9), "blacken": True}
    out = export_training_data(scene, tmp_path / "out", features, **options)
    whole, _ = read(scene)
    values, _ = read(out / "images/000000001.tif")  # of the house at 3..10, 3..9
    truth = np.where(np.arange(4)[:, None, None] < 4, whole[:, 2:11, 2:11], 0).copy()
    inside = np.zeros((9, 9), bool)
    inside[1:7, 1:8] = True
    assert np.array_equal(values, np.where(inside, truth, 0))
    root = ElementTree.parse(out / "labels/000000001.xml").getroot()
    assert [node.findtext("name") for node in root.findall("object")] == ["2"]


def test_imagenet_cuts_the_bounds_into_folders_of_classes(scene, features, tmp_path):
    out = export_training_data(
        scene, tmp_path / "out", features, format="Imagenet", fixed_chip=False
    )
    whole, _ = read(scene)
    values, _ = read(out / "images/barn/000000002.tif")
    assert np.array_equal(values, whole[:, 5:12, 8:14])
    assert (out / "map.txt").read_text().splitlines()[2] == "images/barn/000000002.tif"
    assert definition(out)["CropTileMode"] == "Variable_Size"


def test_cyclegan_makes_two_complete_folders(scene, tmp_path):
    values = np.full((4, 32, 64), 9, np.uint8)
    with rasterio.open(scene) as like, rasterio.open(
        tmp_path / "b.tif", "w", driver="GTiff", count=4, height=32, width=64, dtype="uint8",
        crs=like.crs, transform=like.transform * like.transform.translation(900_000, 0),
    ) as file:  # fmt: skip
        file.write(values)
    out = export_training_data(
        scene, tmp_path / "out", second=tmp_path / "b.tif", format="CycleGAN", **TILE
    )
    assert len(list(out.glob("A/images/*.tif"))) == 12
    assert len(list(out.glob("B/images/*.tif"))) == 2
    for side in "AB":
        assert {path.name for path in (out / side).iterdir()} == FOUR | {"images"}


def test_a_second_raster_is_cut_at_the_same_places(scene, rgb, features, tmp_path):
    out = export_training_data(
        scene, tmp_path / "out", features, second=rgb, format="Classified_Tiles", **TILE
    )
    whole, _ = read(rgb)
    assert np.array_equal(read(out / "images2/000000001.tif")[0], whole[:, :32, 32:64])
    stats = definition(out)["AllTilesStats2"]
    assert [row["BandName"] for row in stats] == ["Red", "Green", "Blue"]


def test_statistics_are_those_of_numpy_over_all_chips(scene, features, tmp_path):
    out = export_training_data(scene, tmp_path / "out", features, all_tiles=True, **TILE)
    chips = np.stack([read(path)[0] for path in sorted(out.glob("images/*.tif"))])
    valid = (chips != 0).any(axis=1)
    emd, stats = definition(out), accumulated(out)
    for band in range(4):
        values = chips[:, band][valid].astype(float)
        row, state = emd["AllTilesStats"][band], stats["BandStatsState"][band]
        assert (row["Min"], row["Max"]) == (values.min(), values.max())
        assert np.isclose(row["Mean"], values.mean())
        assert np.isclose(row["StdDev"], values.std())
        assert state["Num"] == len(values)
        assert np.isclose(state["M2"] / state["Num"], values.var())
    areas = stats["FeatureStats"]["FeatureAreaPerClass"]
    assert np.isclose(areas[0]["Sum"], (20 * 10 + 7 * 6) * 4)  # m2; the house is cut in two
    assert stats["FeatureStats"]["NumFeaturesPerClass"] == [3, 1]


def test_small_remnants_are_left_out(scene, features, tmp_path):
    kept = export_training_data(scene, tmp_path / "a", features, min_overlap=0.4, **TILE)
    left = export_training_data(scene, tmp_path / "b", features, min_overlap=0.5, **TILE)
    assert len(list(kept.glob("images/*.tif"))) == 2  # 0.6 and 0.4 of the long house
    assert len(list(left.glob("images/*.tif"))) == 1


def test_a_turned_chip_shows_the_same_ground(scene, features, tmp_path):
    out = export_training_data(scene, tmp_path / "out", features, rotation=90, **TILE)
    values = [read(out / f"images/{n:09d}.tif")[0] for n in range(4)]
    for turns in (1, 2, 3):
        assert np.array_equal(values[turns], np.rot90(values[0], turns, axes=(1, 2)))
    with rasterio.open(out / "images/000000001.tif") as file:
        line = (out / "labels/000000001.txt").read_text().splitlines()[1].split()
        (found,) = on_map_boxes(file, [[float(edge) for edge in line[4:8]]])
    assert found.symmetric_difference(geopandas.read_file(features).geometry[1]).area < 1e-6


@pytest.mark.parametrize(("chips", "ending"), [("PNG", "png"), ("JPEG", "jpg"), ("MRF", "mrf")])
def test_other_formats_of_chips(rgb, features, tmp_path, chips, ending):
    out = export_training_data(rgb, tmp_path / "out", features, chip_format=chips, **TILE)
    whole, _ = read(rgb)
    path = out / f"images/000000000.{ending}"
    values = read(path)[0]
    if chips == "JPEG":
        assert np.abs(values.astype(int) - whole[:, :32, :32]).max() < 12
    else:
        assert np.array_equal(values, whole[:, :32, :32])
    if chips != "MRF":
        with Image.open(path) as image:
            assert image.size == (32, 32)
        world = [float(line) for line in path.with_suffix(f".{ending[0]}gw").read_text().split()]
        assert world == [2, 0, 0, -2, 500_001, 3_999_999]


def test_pixels_are_never_stretched_into_a_format(scene, features, tmp_path):
    with pytest.raises(OptionError, match=r"4 bands of uint8, and PNG .* choose TIFF or MRF"):
        export_training_data(scene, tmp_path / "out", features, chip_format="PNG", **TILE)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_chips_lie_within_the_mask(scene, features, tmp_path):
    frame = geopandas.read_file(features).head(1)
    frame.geometry = [shapely.box(500_000, 3_999_900, 500_068, 4_000_000)]
    frame.to_file(tmp_path / "mask.gpkg")
    out = export_training_data(
        scene, tmp_path / "out", features, mask=tmp_path / "mask.gpkg", all_tiles=True, **TILE
    )
    assert len(list(out.glob("images/*.tif"))) == 1  # of two above each other, 32 and 64 m down


def test_a_folder_that_is_there_stays(scene, features, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="exists"):
        export_training_data(scene, tmp_path / "out", features)


def test_labels_elsewhere_are_told(scene, features, tmp_path):
    frame = geopandas.read_file(features).tail(1)
    frame.to_file(tmp_path / "far.gpkg")
    with pytest.raises(OptionError, match="no chip holds a label"):
        export_training_data(scene, tmp_path / "out", tmp_path / "far.gpkg", **TILE)


def test_several_rasters_are_numbered_on_or_cut_as_one(scene, rgb, features, tmp_path):
    apart = export_training_data([rgb, rgb], tmp_path / "a", features, each=True, **TILE)
    one = export_training_data([rgb, rgb], tmp_path / "b", features, **TILE)
    assert len(list(apart.glob("images/*.tif"))) == 4
    assert len(list(one.glob("images/*.tif"))) == 2
    assert definition(apart)["InputRastersProps"]["RasterCount"] == 2
