"""What is said of all chips, counted by hand."""

from pathlib import Path

import pytest

from geodl_lab.exports.classes import label_class
from geodl_lab.exports.options import ExportOptions
from geodl_lab.exports.parts import Facts
from geodl_lab.exports.plans import Item, Plan
from geodl_lab.exports.records import BandStats, Chip, Found
from geodl_lab.exports.summary import Summary, accumulated, definition, stats_text

CLASSES = (label_class(1, "Palm"), label_class(2, "Oak"))
STATS = (BandStats(4, 1, 9, 5.0, 36.0),)


def summary(format, chips, bands=("",), **options):
    chosen = ExportOptions(format=format, tile_yx=(40, 30), **options)
    plan = Plan((Item((Path("a"), Path("b"))),), Path("job"), chosen, (Path("c"),))
    facts = Facts(9, "EPSG:32631", (2.0, 3.0), bands, (), CLASSES, ())
    return Summary(plan, chips, [facts], CLASSES, ())


def objects():
    a = Found(1, (0, 0, 5, 5), 25.0)
    b = Found(1, (0, 0, 2, 2), 4.0)
    return [
        Chip(0, (1, 40, 30), {}, objects=(a, b), stats=STATS),
        Chip(1, (1, 40, 30), {}, objects=(a,), stats=STATS),
    ]


def test_features_are_counted():
    stats = accumulated(summary("KITTI_rectangles", objects()))
    assert (stats["TileSizeX"], stats["TileSizeY"], stats["NumTiles"]) == (30, 40, 2)
    assert stats["OutputFeatures"] is True
    about = stats["FeatureStats"]
    assert about["NumFeaturesTotal"] == 3
    assert about["NumImagesPerClass"] == [2, 0]
    assert about["NumFeaturesPerClass"] == [3, 0]
    assert about["NumFeaturesPerImage"] == {"Min": 1, "Max": 2, "Mean": 1.5, "Sum": 3, "Count": 2}
    assert about["FeatureAreaPerClass"][0] == {
        "Min": 4, "Max": 25, "Mean": 18, "Sum": 54, "Count": 3,
    }  # fmt: skip
    assert stats["BandStatsState"] == [{"Num": 8, "Min": 1, "Max": 9, "M1": 5, "M2": 72}]


def test_pixels_are_counted():
    chips = [
        Chip(0, (1, 40, 30), {}, pixels={0: 1100, 1: 100}, stats=STATS),
        Chip(1, (1, 40, 30), {}, pixels={1: 900, 2: 300}, stats=STATS),
    ]
    stats = accumulated(summary("Classified_Tiles", chips))
    about = stats["ClassPixelStats"]
    assert about["NumPixelsPerClass"] == [1000, 300]
    assert about["NumImagesPerClass"] == [2, 1]
    assert about["NumClassesPerImage"]["Sum"] == 3
    assert (about["PixelsPerClass"][1]["Min"], about["PixelsPerClass"][1]["Max"]) == (0, 300)
    assert stats["OutputFeatures"] is False


def test_the_text_is_for_people():
    told = summary("KITTI_rectangles", objects())
    lines = stats_text(told, accumulated(told)).splitlines()
    assert lines[:4] == [
        "images = 2 *1*40*30", "features = 3",
        "features per image = [min = 1, mean = 1.50, max = 2]", "classes = 2",
    ]  # fmt: skip
    assert lines[5].split() == ["Palm", "1", "2", "3", "4.00", "18.00", "25.00"]


@pytest.mark.parametrize(
    ("bands", "names"),
    [
        (("",), ["Band_1"]),
        (("Red", "g", "Blue", "NIR"), ["Red", "Green", "Blue", "NearInfrared"]),
        (("", "", ""), ["Red", "Green", "Blue"]),
        (("VV", ""), ["VV", "Band_2"]),
    ],
)
def test_bands_have_names(bands, names):
    chip = Chip(0, (len(bands), 40, 30), {}, stats=STATS * len(bands))
    emd = definition(summary("KITTI_rectangles", [chip], bands))
    assert emd["InputRastersProps"] == {"RasterCount": 2, "SensorName": "", "BandNames": names}
    assert [row["BandName"] for row in emd["AllTilesStats"]] == names
    assert emd["AllTilesStats"][0]["StdDev"] == 3
    assert emd["MinCellSize"] == {
        "x": 3, "y": 2, "spatialReference": {"wkid": 32631, "latestWkid": 32631},
    }  # fmt: skip
    assert (emd["ImageHeight"], emd["ImageWidth"], emd["ImageSpaceUsed"]) == (40, 30, "MAP_SPACE")
    assert emd["Classes"][1]["Name"] == "Oak"
