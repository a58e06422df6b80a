import pytest

from geodl_lab.bands import common_name, match_bands
from geodl_lab.errors import BandError, ModelError
from geodl_lab.inputs import InputSpec

RGBN = InputSpec(("red", "green", "blue", "nir"))
TURNED = InputSpec((), 3, positions=(3, 2, 1))
NAMED = InputSpec(("nir", "red"), positions=(3, 0))
RGB = InputSpec(("red", "green", "blue"))


@pytest.mark.parametrize(
    ("names", "inputs", "bands", "expected"),
    [
        (("", "", "", ""), RGBN, None, (0, 1, 2, 3)),
        (("nir", "red", "green", "blue"), RGBN, None, (1, 2, 3, 0)),
        (("red", "green", "blue", ""), RGBN, None, (0, 1, 2, 3)),
        (("red", "green", "blue", "nir"), RGB, None, (0, 1, 2)),
        (("", "", "", "", ""), RGB, {"red": 3, "green": 2, "blue": 1}, (2, 1, 0)),
        (("red", "green", "", "", "blue"), RGBN, {"nir": 4}, (0, 1, 4, 3)),
        (("", "", "", ""), RGB, [4, 1, 2], (3, 0, 1)),
        (("one", "two", "three"), RGB, ["three", "two", "one"], (2, 1, 0)),
        (("a", "b"), InputSpec((), 2), None, (0, 1)),
        (("", "", "", ""), TURNED, None, (3, 2, 1)),
        (("red", "green", "blue", "nir"), TURNED, None, (3, 2, 1)),
        (("", "", "", "", ""), TURNED, [1, 2, 3], (0, 1, 2)),
        (("", "", "", ""), InputSpec((), 3, positions=(0, 1, 2)), None, (0, 1, 2)),
        (("nir", "red"), NAMED, None, (0, 1)),
        (("", "", "", ""), NAMED, None, (3, 0)),
        (("red", "green", "blue", ""), NAMED, None, (3, 0)),
    ],
)
def test_bands_are_matched(names, inputs, bands, expected):
    assert match_bands(names, inputs, bands) == expected


@pytest.mark.parametrize(
    ("names", "inputs", "bands", "message"),
    [
        (("", "", ""), RGBN, None, r"wants 4 bands \(red, green, blue, nir\).*has 3.*bands="),
        (("swir", "green", "blue"), RGB, None, "has 3 .swir, green, blue"),
        (("", ""), RGB, None, r"bands=\{'red': 1, .* \(--bands red=1,green=2,blue=3\)"),
        (("", ""), InputSpec((), 3), None, r"as in bands=\[1, 2, 3\]"),
        (("red", "red", "blue"), RGB, None, "red, red, blue"),
        (("", "", ""), RGB, {"nir": 1}, r"names \['nir'\], but the model wants"),
        (("", "", ""), RGB, {"red": 1, "green": 2, "blue": 9}, "no band 9"),
        (("", "", ""), RGB, {"red": 1}, "maps red, .* no band called green, blue either; map all"),
        (("", "", ""), TURNED, {"red": 1}, r"the model's 3 bands have none; list .*=\[1, 2, 3\]"),
        (("", "", ""), RGB, [1, 2], "lists 2 bands, but the model wants 3"),
        (("", "", ""), RGB, [0, 1, 2], "no band 0"),
        (("", "", ""), TURNED, None, "of its own rasters numbers 4, 3, 2. and the raster has 3"),
        (("red", "", "", "swir"), NAMED, None, r"wants 2 bands \(nir, red; of its own rasters"),
    ],
)
def test_bands_that_do_not_fit_are_named(names, inputs, bands, message):
    with pytest.raises(BandError, match=message):
        match_bands(names, inputs, bands)


def test_names_that_say_nothing_are_no_names():
    for name in ("", "Band 3", "band_1", "2", "B4", "Undefined", "Alpha"):
        assert common_name(name) in ("", "b4")
    assert common_name(" NIR ") == common_name("Near Infrared") == "nir"


@pytest.mark.parametrize(
    ("name", "common"),
    [
        ("NearInfrared_1", "nir"),
        ("Short Wave Infrared 1", "swir16"),
        ("SWIR2", "swir22"),
        ("Coastal Aerosol", "coastal"),
        ("Vegetation Red Edge 1", "rededge071"),
        ("red-edge", "rededge"),
        ("Panchromatic", "pan"),
        ("before_red", "before_red"),
    ],
)
def test_names_of_sensors_are_the_common_ones(name, common):
    assert common_name(name) == common


def test_bands_may_have_other_names():
    inputs = InputSpec(("red", "nir"), other_names=("B04", "B08"))
    assert match_bands(["nir", "red"], inputs) == (1, 0)
    assert match_bands(["b08", "b04", "b02"], inputs) == (1, 0)
    assert match_bands(["", ""], inputs) == (0, 1)
    assert match_bands(["x", "y", "z"], inputs, {"B04": 3, "nir": 1}) == (2, 0)
    with pytest.raises(BandError, match=r"wants 2 bands \(red, nir; also called B04, B08\)"):
        match_bands(["b04", "red", "blue"], inputs)
    with pytest.raises(ModelError, match="1 other names for 2 bands"):
        InputSpec(("red", "nir"), other_names=("B04",))
